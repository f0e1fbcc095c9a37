"""Which operations a soak chooses from, how often each, and the loop that does them until the time is up."""

import random
import time
from collections.abc import Callable

import soak_asking as asking
import soak_faults as faults
import soak_training as training
from soak_place import Operation, Workplace

#: Weight and function by name.
OPERATIONS: dict[str, tuple[int, Callable[[Operation], None]]] = {
    "train": (5, training.train_anything),
    "train-killed": (5, training.train_killed),
    "kill-without-cache": (2, training.kill_without_cache),
    "resume-changed": (3, training.resume_changed),
    "resume-finished": (2, training.resume_finished),
    "two-at-once": (2, training.two_at_once),
    "shared-cache": (3, training.shared_cache),
    "existing-output": (3, training.existing_output),
    "vocabulary-first": (1, training.vocabulary_first),
    "text-changes": (4, training.text_changes),
    "cut-text": (3, training.cut_text),
    "metrics": (1, training.metrics),
    "ask": (6, asking.ask),
    "ask-wrongly": (4, asking.ask_wrongly),
    "convert": (4, asking.convert),
    "export": (3, asking.export),
    "explore": (2, asking.explore),
    "reader-leaves": (1, asking.reader_leaves),
    "phrases": (1, asking.phrases),
    "damaged-vectors": (6, faults.damaged_vectors),
    "damaged-model": (6, faults.damaged_model),
    "damaged-checkpoint": (6, faults.damaged_checkpoint),
    "damaged-cache": (6, faults.damaged_cache),
    "damaged-costs": (3, faults.damaged_costs),
    "damaged-vocabulary": (3, faults.damaged_vocabulary),
    "full-output": (4, faults.full_output),
    "full-replacement": (3, faults.full_replacement),
    "full-cache": (3, faults.full_cache),
    "full-conversion": (4, faults.full_conversion),
    "read-only": (3, faults.read_only),
    "killed-writer": (3, faults.killed_writer),
}


def mixed(place: Workplace, until: float) -> None:
    """Operations by chance until ``time.monotonic()`` is ``until``, one at least."""
    chance = random.Random(f"{place.settings.seed} order")
    names, weights = list(OPERATIONS), [weight for weight, _ in OPERATIONS.values()]
    number = 0
    while number == 0 or time.monotonic() < until:
        name = chance.choices(names, weights)[0]
        place.operate(name, number, OPERATIONS[name][1])
        number += 1


def again(place: Workplace, operation: str) -> None:
    """One operation once more, as ``name:number`` tells; raises ValueError where there is none of that name."""
    name, _, number = operation.partition(":")
    if name not in OPERATIONS or not number.isdigit():
        raise ValueError(f"{operation}: give NAME:NUMBER with a name of {', '.join(OPERATIONS)}")
    place.operate(name, int(number), OPERATIONS[name][1])
