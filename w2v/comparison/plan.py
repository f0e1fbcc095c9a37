"""Which runs a comparison has, in which order, and with which settings.

A system is a module with ``run(spec: RunSpec, corpus: EncodedCorpus, scorer: Scorer) -> dict``, called in a process
of its own, that gives of one entry of "runs" in compare.json what only it can know:

    config (what was used), device, threads, seconds {upload, compile, train, evaluate}, words, kept_words, pairs
    (None where it does not tell), loss, heldout_nll, heldout_unigram_nll, peak_device_bytes, initial_sha256,
    vectors_sha256, points [{epochs, words, seconds, scores, heldout_nll}], notes [lines], versions {package: version}

What is left out is null. ``worker.py`` adds the name, the status, the seconds of reading and encoding, the speeds and
the host's memory. It raises W2VError with one line where it cannot.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from w2v.config import OWN_OPTIONS, TrainConfig
from w2v.errors import ConfigError

#: What else can be run, and the objectives that it has.
OTHER_SYSTEMS = {"gensim": ("ns", "hs"), "torch": ("adaptive",)}
#: Said where cut-offs do not suit PyTorch.
TORCH_NEEDS = (
    "PyTorch's adaptive softmax has a short-list and a cluster at least: leave out --against torch, or give "
    "--cutoffs and no --no-shortlist"
)
#: Points of the first epoch, beside the end of every epoch.
FIRST_POINTS = (0.25, 0.5, 0.75)

# Options that only some objectives have a use for; the last ones TrainConfig takes with any.
_OF_OBJECTIVES = {**OWN_OPTIONS, ("ns",): ("negative", "noise_power", "negatives_per_pair")}
_DEFAULTS = {field.name: field.default for field in fields(TrainConfig)}


@dataclass(frozen=True)
class EvaluationFile:
    """A file to score vectors by. name: of the score; kind: ``pairs`` or ``analogies``."""

    name: str
    kind: str
    path: Path


@dataclass(frozen=True)
class RunSpec:
    """One run, as the process that does it is told.

    system: ``w2v``, ``gensim`` or ``torch``; config: unresolved (an ``alpha`` of None means the objective's default;
    another system may have its own), with ``device`` and ``threads`` decided; points: numbers of epochs, rising, the
    last one is ``config.epochs``; corpus: folder of the encoded corpus (``EncodedCorpus.open``); restrict: analogies
    are asked over so many of the most frequent words; number of total: where the run stands, from 1; read_seconds,
    encode_seconds: what the corpus took, once for all runs.
    """

    system: str
    model: str
    objective: str
    seed: int
    config: TrainConfig
    points: tuple[float, ...]
    corpus: Path
    evaluation: tuple[EvaluationFile, ...] = ()
    restrict: int = 30_000
    number: int = 1
    total: int = 1
    read_seconds: float = 0.0
    encode_seconds: float = 0.0

    @property
    def case(self) -> str:
        """What the seeds of a run are averaged as: ``skipgram-ns``, or ``gensim skipgram-ns``."""
        return case_name(self.system, self.model, self.objective)

    @property
    def name(self) -> str:
        """``skipgram-ns-1``, and ``gensim-skipgram-ns-1`` of another system."""
        return run_name(self.system, self.model, self.objective, self.seed)

    @property
    def label(self) -> str:
        """For people: ``3/5 skipgram-class seed 1``."""
        return f"{self.number}/{self.total} {self.case} seed {self.seed}"

    def to_json(self) -> str:
        """What ``from_json`` reads."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> RunSpec:
        """The run that ``to_json`` wrote."""
        values = json.loads(text)
        files = [EvaluationFile(item["name"], item["kind"], Path(item["path"])) for item in values.pop("evaluation")]
        config, points, corpus = (values.pop(name) for name in ("config", "points", "corpus"))
        return cls(
            **values,
            config=TrainConfig.from_dict(config),
            points=tuple(points),
            corpus=Path(corpus),
            evaluation=tuple(files),
        )


def case_name(system: str, model: str, objective: str) -> str:
    """``skipgram-ns``, with another system's name in front."""
    return f"{model}-{objective}" if system == "w2v" else f"{system} {model}-{objective}"


def run_name(system: str, model: str, objective: str, seed: int) -> str:
    """``skipgram-ns-1``, with another system's name in front."""
    return f"{case_name(system, model, objective)}-{seed}".replace(" ", "-")


def planned_cases(
    objectives: Sequence[str], models: Sequence[str], seeds: Sequence[int], against: Sequence[str]
) -> Iterator[tuple[str, str, str, int]]:
    """(system, model, objective, seed) in the order of running: a seed is complete before the next begins."""
    for seed in seeds:
        for system in ("w2v", *against):
            known = OTHER_SYSTEMS.get(system, objectives)
            for model in models:
                yield from ((system, model, name, seed) for name in objectives if name in known)


@dataclass(frozen=True)
class Plan:
    """What is compared. options: of TrainConfig, by name; those that only some objectives have go to these alone.

    Raises ConfigError where an option is out of range, or no objective and model has a use for it.
    """

    objectives: tuple[str, ...]
    models: tuple[str, ...]
    seeds: tuple[int, ...]
    points: tuple[float, ...]
    options: Mapping[str, object]
    against: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check everything that can be checked without a corpus."""
        self._refuse_useless()
        for system in self.against:
            if not set(OTHER_SYSTEMS[system]) & set(self.objectives):
                theirs = " or ".join(OTHER_SYSTEMS[system])
                raise ConfigError(f"--against {system} is for --objectives {theirs}: add one of them")
        for system, model, objective, seed in self.cases():
            config = self.config(model, objective, seed)
            if system == "torch" and not (config.shortlist and config.cutoffs):
                raise ConfigError(TORCH_NEEDS)

    def cases(self) -> Iterator[tuple[str, str, str, int]]:
        """(system, model, objective, seed) in the order of running."""
        return planned_cases(self.objectives, self.models, self.seeds, self.against)

    def config(self, model: str, objective: str, seed: int) -> TrainConfig:
        """The settings of one case."""
        options = dict(self.options)
        for owners, names in _OF_OBJECTIVES.items():
            if objective not in owners:
                options.update({name: _DEFAULTS[name] for name in names})
        if model != "cbow":
            options["cbow_sum"] = False
        return TrainConfig(**{**options, "model": model, "objective": objective, "seed": seed})

    def _refuse_useless(self) -> None:
        """An option that no run would look at is a mistake."""
        for owners, names in _OF_OBJECTIVES.items():
            for name in names:
                if name in self.options and self.options[name] != _DEFAULTS[name] and not self._has(owners):
                    option = "--no-shortlist" if name == "shortlist" else "--" + name.replace("_", "-")
                    raise ConfigError(f"{option} is for {' or '.join(owners)}: none of --objectives has a use for it")
        if self.options.get("cbow_sum") and "cbow" not in self.models:
            raise ConfigError("--cbow-sum is for --models cbow")

    def _has(self, owners: Iterable[str]) -> bool:
        return bool(set(owners) & set(self.objectives))


def default_points(epochs: int) -> tuple[float, ...]:
    """Quarters of the first epoch, then every epoch."""
    return (*FIRST_POINTS, *map(float, range(1, epochs + 1)))


def check_points(points: Sequence[float], epochs: int) -> tuple[float, ...]:
    """The points in order, with the end of training. Raises ConfigError where one is not within the epochs."""
    for point in points:
        if not 0 < point <= epochs:
            raise ConfigError(f"--points {point:g} is out of range: use numbers of epochs above 0, up to {epochs}")
    return tuple(sorted({*map(float, points), float(epochs)}))
