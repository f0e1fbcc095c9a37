"""The report of a comparison: the page, its charts and their PNG files."""

import copy
import html.parser
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from browser import Browser, browser  # noqa: F401
from comparison_records import EVALUATION, OBJECTIVES, make_record

from w2v.comparison.report.axes import linear_axis, log_axis, tick_text
from w2v.comparison.report.charts import NAMES, charts_of
from w2v.comparison.report.curves import WIDTH
from w2v.comparison.report.drawing import Drawing, Mark, Text, text_width
from w2v.comparison.report.findings import findings, missing_names
from w2v.comparison.report.labels import Box, Frame, place_labels
from w2v.comparison.report.page import build_report, write_report
from w2v.comparison.report.palette import COLOURS, PHASES, style_of
from w2v.comparison.report.wording import digits, rate, seconds_text, size, spread, target_text
from w2v.errors import OutputError

OTHERS = (("gensim", "skipgram", "ns"), ("gensim", "skipgram", "hs"), ("torch", "skipgram", "adaptive"))
VOID = {"meta", "link", "br", "img", "input", "hr"}
SHAPES = ("polyline", "rect", "circle", "polygon")


class Page(html.parser.HTMLParser):
    """What a page says: text by section and by table, attributes; elements have to be closed in order."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.open: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.charts: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.sections: list[str] = []
        self.text = ""
        self._caption: str | None = None
        self._rows: list[list[str]] = []
        self.feed(source)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.attributes += [(tag, name, value) for name, value in attributes]
        named = dict(attributes)
        if tag == "svg" and "aria-label" in named:
            self.charts.append(named["aria-label"])
        if tag == "section":
            self.sections.append(named["id"])
        if tag == "table":
            self._caption, self._rows = "", []
        if tag == "tr":
            self._rows.append([])
        if tag in ("td", "th"):
            self._rows[-1].append("")
        if tag == "br" and self._rows and self._rows[-1]:
            self._rows[-1][-1] += " "
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "table":
            self.tables[self._caption] = self._rows

    def handle_data(self, data):
        data = plain(data)
        if "style" not in self.open:
            self.text += data
        if "caption" in self.open:
            self._caption += data
        elif "td" in self.open or "th" in self.open:
            self._rows[-1][-1] += data


def page_of(record: dict[str, Any]) -> Page:
    return Page(build_report(record, charts_of(record)))


def written(record: dict[str, Any], folder: Path) -> Page:
    """The page as a file, with the PNG files beside it."""
    assert write_report(record, folder) == []
    return Page((folder / "report.html").read_text("utf-8"))


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{NON-BREAKING HYPHEN}", "-")


@pytest.fixture(scope="module")
def finished() -> dict[str, Any]:
    return make_record(others=OTHERS)


@pytest.fixture(scope="module")
def folder(finished, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    assert write_report(finished, folder) == []
    return folder


@pytest.fixture(scope="module")
def page(folder) -> Page:
    return Page((folder / "report.html").read_text("utf-8"))


def test_summary_has_every_number(finished, page):
    rows = {row[0]: row for row in page.tables["Speed, memory and final scores"][1:]}
    assert len(rows) == len(finished["summary"]) == 13
    for entry in finished["summary"]:
        model = {"skipgram": "skip-gram", "cbow": "CBOW"}[entry["model"]]
        name = f"{model} {entry['objective']}"
        row = rows[name if entry["system"] == "w2v" else f"{entry['system']} {name}"]
        speeds = [entry[key] for key in ("words_per_second", "kept_words_per_second", "pairs_per_second")]
        expected = [spread(entry["train_seconds"])]
        expected += [rate(speed["mean"], speed["sd"]) if speed else "–" for speed in speeds]
        expected += [size(entry["peak_host_bytes"])]
        expected += [spread(entry["scores"][test["name"]], decimals=1) for test in EVALUATION]
        assert row[1:] == list(map(plain, expected))


def test_coverage_stands_in_the_heading(page):
    heads = page.tables["Speed, memory and final scores"][0]
    assert heads[-3:] == ["WordSim-353 350 of 353", "SimLex-999 993 of 999", "Google analogies 12,518 of 19,544"]
    assert "peak device memory" not in heads


def test_memory_is_said_to_be_what_it_is(page):
    grown, reserved = "by how much the memory in use on the device had grown", "its allocator had reserved"
    assert "the largest resident size of a run's process" in page.text
    assert grown not in page.text
    record = make_record(models=("skipgram",), seeds=(1,), others=OTHERS)
    record["summary"][0]["peak_device_bytes"] = 3_400_000_000
    text = page_of(record).text
    assert grown in text
    assert reserved not in text
    record["summary"][-1]["peak_device_bytes"] = 3_400_000_000
    assert reserved in page_of(record).text


def test_compiling_the_encoder_is_told_apart(page):
    assert "0.41 s, 1.93 s (and 6.20 s of compiling, which no run shows)" in page.text


def test_a_computed_target_has_three_digits(tmp_path):
    record = make_record(models=("skipgram",), seeds=(1,))
    record["targets"]["wordsim353"] = 51.179143
    for entry in record["summary"]:
        entry["seconds_to"]["wordsim353"]["target"] = 51.179143
    for drawing in charts_of(record)[0].drawings[:1]:
        said = [shape.text for shape in drawing.shapes if isinstance(shape, Text)]
        assert "target 51.2" in said
    page = page_of(record)
    assert "51.1" not in page.text + "".join(page.charts)
    assert "WordSim-353 51.2" in page.tables["Seconds of training to a given score"][0]


def test_memory_of_a_gpu_has_a_column():
    record = make_record(models=("skipgram",), seeds=(1,))
    record["summary"][0]["peak_device_bytes"] = 3_400_000_000
    table = page_of(record).tables["Speed, memory and final scores"]
    column = table[0].index("peak device memory")
    assert [row[column] for row in table[1:]] == ["3.40 GB", "–", "–", "–", "–"]


def test_ns_is_never_among_likelihoods(finished, page):
    rows = page.tables["Normalised objectives on held-out sentences"][1:]
    assert [row[0] for row in rows] == [
        "skip-gram hs", "skip-gram class", "skip-gram adaptive", "skip-gram full", "gensim skip-gram hs",
        "torch skip-gram adaptive", "skip-gram unigram", "CBOW hs", "CBOW class", "CBOW adaptive", "CBOW full",
        "CBOW unigram",
    ]  # fmt: skip
    hs = next(entry for entry in finished["summary"] if entry["name"] == "skipgram-hs")
    assert rows[0][1:] == [plain(spread(hs["heldout_nll"], decimals=3)), digits(hs["perplexity"])]
    apart = page.tables["The training loss of ns, apart"][1:]
    assert [row[0] for row in apart] == ["skip-gram ns", "CBOW ns", "gensim skip-gram ns"]
    assert apart[0][1] == "1.950 ± 0.010"
    for row in page.tables["Scored points"][1:]:
        assert (row[-1] == "–") == (row[0].split()[-1] == "ns")


def test_ns_with_nats_by_mistake_is_not_shown_as_likelihood():
    record = make_record(models=("skipgram",), seeds=(1,))
    ns = record["summary"][0]
    ns.update(normalised=True, heldout_nll={"mean": 1.25, "sd": None}, perplexity=3.49)
    for point in ns["points"]:
        point["heldout_nll"] = {"mean": 1.25, "sd": None}
    page = page_of(record)
    assert "1.25" not in page.text
    assert not any("1.25" in chart for chart in page.charts)


def test_sentences_of_the_result(finished, page):
    said = findings(finished)
    assert plain(said[0]).startswith("Skip-gram reached WordSim-353 55 with ns in ")
    assert plain(said[1]).startswith("CBOW reached WordSim-353 55 with ns in ")
    assert "hs and adaptive did not reach it" in said[1]
    assert any("was the fastest with" in sentence for sentence in said)
    assert any(sentence.startswith("Of CBOW's normalised objectives") for sentence in said)
    assert all(plain(sentence) in page.text for sentence in said)


def test_seconds_to_a_score_and_score_at_equal_time(finished, page):
    reach = page.tables["Seconds of training to a given score"]
    assert reach[0] == ["", "WordSim-353 55", "SimLex-999 25", "Google analogies 30"]
    full = finished["summary"][9]
    told = full["seconds_to"]["wordsim353"]
    assert full["name"] == "cbow-full"
    assert told["reached"] == 2
    assert reach[10][1:3] == [f"{seconds_text(told['mean'])} s (2 of 3 seeds)", "not reached"]
    told = {}
    for first, model in ((0, "skip-gram"), (5, "CBOW")):
        at = finished["summary"][first]["score_at"]
        equal = page.tables[f"Score after {seconds_text(at['seconds'])} s of training, {model}"]
        assert equal[0][:3] == ["", "epochs by then", "WordSim-353"]
        assert {row[0].split()[-2] for row in equal[1:]} == {model}
        told[model] = {row[0]: row[1:] for row in equal[1:]}
        assert told[model][f"{model} ns"][:2] == ["5", plain(spread(at["scores"]["wordsim353"], decimals=1))]
        assert told[model][f"{model} full"] == ["–", *["not scored yet"] * 3]
    assert told["skip-gram"]["skip-gram hs"][0] == "1"
    assert "says which point that is: nothing is interpolated" in page.text


def test_targets_that_were_computed_are_said_to_be(finished, page):
    said = "A target that was not given is 95% of the lowest final mean"
    assert said in page.text
    given = {**finished, "targets_given": finished["targets"]}
    assert said not in page_of(given).text


def test_page_stands_alone(page):
    for tag, name, value in page.attributes:
        assert name not in ("src", "srcset", "style", "onclick", "onload")
        if name == "href":
            assert tag == "link"
            assert value.startswith("data:")
    policy = next(value for tag, name, value in page.attributes if tag == "meta" and "default-src" in (value or ""))
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "http" not in page.text
    assert not any(tag == "script" for tag, _, _ in page.attributes)


def test_sections_and_charts(page):
    assert page.sections == ["summary", "quality", "likelihood", "speed", "setup"]
    # Score panels by model and set against seconds and epochs, nats by model, two charts of bars.
    assert len(page.charts) == 6 + 6 + 2 + 2
    assert "WordSim-353, skip-gram, Spearman × 100 against seconds of training, log" in page.charts[0]
    assert "A line marks target 55" in page.charts[0]


def test_everything_is_escaped():
    evil = "<script>alert(1)</script>&\"'</style><img src=x>"
    record = _renamed(make_record(models=("skipgram",), seeds=(1,)), "wordsim353", evil)
    record["corpus"]["inputs"] = [evil]
    record["notes"], record["command"] = [evil], evil
    record["machine"].update(processor=evil, system=evil, versions={evil: evil})
    record["settings"] = {evil: evil}
    record["runs"][0].update(status="failed", error=evil, name=evil, device=evil, initial_sha256=evil)
    for entry in record["summary"][:1]:
        entry.update(system=evil, objective=evil, model=evil)
    page = page_of(record)
    assert not {"script", "img"} & {tag for tag, _, _ in page.attributes}
    assert "<script" not in page.source
    assert evil in page.text


def _renamed(value: Any, old: str, new: str) -> Any:
    """The same with one string for another, names of mappings included."""
    if isinstance(value, dict):
        return {_renamed(name, old, new): _renamed(item, old, new) for name, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, old, new) for item in value]
    return value.replace(old, new) if isinstance(value, str) else value


def test_file_names_that_are_no_text(tmp_path):
    record = make_record(models=("skipgram",), objectives=("ns",), seeds=(1,))
    record = _renamed(record, "wordsim353", "caf\udce9 $x_1$ 語" + "long" * 40)
    page = written(record, tmp_path)
    assert "caf? $x_1$ 語" in page.text
    assert (tmp_path / "time-to-quality.png").stat().st_size > 5000


def _interrupted(record):
    del record["runs"][4:]
    del record["summary"][2:]
    record["finished"] = None


def _failed(record):
    record["runs"][1] = {"name": "skipgram-hs-1", "system": "w2v", "model": "skipgram", "objective": "hs", "seed": 1,
                         "status": "failed", "error": "the device was lost"}  # fmt: skip
    del record["summary"][1]


def _nothing(record):
    record.update(runs=[], summary=[])


def _unscored(record):
    for entry in record["summary"]:
        entry.update(points=[], scores={}, seconds_to={}, score_at=None)


def _nulls(record):
    for entry in record["summary"]:
        for key in entry:
            if key not in ("name", "system", "model", "objective", "normalised"):
                entry[key] = None


def _zeros(record):
    for entry in record["summary"]:
        entry["words_per_second"] = {"mean": 0.0, "sd": 0.0}
        entry["seconds"] = dict.fromkeys(entry["seconds"], 0.0)
        for point in entry["points"]:
            point["seconds"] = {"mean": 0.0, "sd": 0.0}
            point["scores"] = {name: {"mean": 0.0, "sd": 0.0} for name in point["scores"]}


def _bare(record):
    for key in set(record) - {"format", "version"}:
        del record[key]


SPOILED = [_interrupted, _failed, _nothing, _unscored, _nulls, _zeros, _bare]


@pytest.mark.parametrize("spoil", SPOILED)
@pytest.mark.parametrize("seeds", [(1,), (1, 2)])
def test_partial_records(spoil, seeds):
    record = make_record(models=("skipgram",), seeds=seeds)
    spoil(record)
    before = copy.deepcopy(record)
    page = page_of(record)
    assert record == before
    assert not {"None", "nan", "inf"} & set(re.findall(r"[A-Za-z]+", page.text))


@pytest.mark.parametrize("spoil", [_interrupted, _unscored, _zeros, _bare])
def test_figures_of_partial_records(spoil, tmp_path):
    record = make_record(models=("skipgram",), seeds=(1,), evaluation=EVALUATION[:1])
    spoil(record)
    written(record, tmp_path)
    assert {path.stem for path in tmp_path.glob("*.png")} == {chart.name for chart in charts_of(record)}


def test_what_is_missing_is_said():
    record = make_record(models=("skipgram",), seeds=(1, 2))
    _interrupted(record)
    page = page_of(record)
    assert missing_names(record) == [f"skipgram-{name}-{seed}" for seed in (1, 2) for name in OBJECTIVES[2:]]
    assert "not finished: 6 runs are missing. Continue it with --resume." in page.text
    assert ["skipgram-full-2", "missing", "–", "–", "–", "–", "–"] in page.tables["Runs"]


def test_runs_of_other_systems_are_missing_by_name():
    record = make_record(models=("skipgram",), objectives=("ns", "hs"), seeds=(1,), others=OTHERS[:2])
    record["runs"] = record["runs"][:3]
    assert missing_names(record) == ["gensim-skipgram-hs-1"]


def test_failed_runs_show_their_error():
    record = make_record(models=("skipgram",), seeds=(1,))
    _failed(record)
    page = page_of(record)
    assert page.tables["Failed runs"][1:] == [["skipgram-hs-1", "the device was lost"]]
    assert "1 run failed: see below." in page.text


def test_without_evaluation_files(tmp_path):
    page = written(make_record(models=("skipgram",), seeds=(1,), evaluation=[]), tmp_path)
    assert "No evaluation files were given" in page.text
    assert page.sections == ["summary", "likelihood", "speed", "setup", "notes"]
    assert "Speed and memory" in page.tables
    assert "Scored points" in page.tables
    assert {path.stem for path in tmp_path.glob("*.png")} == {"heldout", "words-per-second", "time-split"}
    assert "Seconds of training to a given score" not in page.tables


def test_without_held_out_sentences():
    record = make_record(models=("skipgram",), heldout=False, seeds=(1,))
    page = page_of(record)
    assert "Normalised objectives on held-out sentences" not in page.tables
    assert "The training loss of ns, apart" in page.tables
    assert "heldout" not in {chart.name for chart in charts_of(record)}


def test_figures_open_and_are_small(folder):
    from PIL import Image

    assert {path.stem for path in folder.glob("*.png")} == set(NAMES)
    for path in folder.glob("*.png"):
        with Image.open(path) as image:
            image.load()
            assert min(image.size) > 300
            assert len(image.getcolors()) > 5
        assert path.stat().st_size < 150_000


def test_without_matplotlib(tmp_path, monkeypatch):
    (tmp_path / "heldout.png").write_bytes(b"of an earlier comparison")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    said = write_report(make_record(models=("skipgram",), seeds=(1,)), tmp_path)
    assert len(said) == 1
    assert "matplotlib is not installed" in said[0]
    assert "pip install 'w2v[plot]'" in said[0]
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["report.html"]
    assert len(Page((tmp_path / "report.html").read_text("utf-8")).charts) == 9


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="no folder"):
        write_report(make_record(models=("skipgram",), seeds=(1,)), tmp_path / "file")


@pytest.mark.parametrize("chart", range(5))
def test_drawings_stay_inside_and_labels_apart(finished, chart):
    for drawing in charts_of(finished)[chart].drawings:
        labels = [shape for shape in drawing.shapes if isinstance(shape, Text) and shape.bold and shape.y > 20]
        for shape in drawing.shapes:
            if isinstance(shape, Text | Mark):
                assert 0 <= shape.x <= WIDTH
                assert 0 <= shape.y <= drawing.height
        boxes = [Box(label.x, label.y - 4, text_width(label.text)) for label in labels]
        assert not any(one.clashes(two) for at, one in enumerate(boxes) for two in boxes[:at])
        assert all(label.x + text_width(label.text) <= WIDTH + 0.01 for label in labels)


def test_curves_have_a_mark_at_every_scored_point():
    record = make_record(models=("skipgram",), objectives=("ns", "class"), seeds=(1, 2))
    drawing: Drawing = charts_of(record)[0].drawings[0]
    marks = [shape for shape in drawing.shapes if isinstance(shape, Mark)]
    assert len(marks) == 2 * len(record["points"])
    assert {mark.shape for mark in marks} == {"circle", "triangle"}
    first = record["summary"][0]["points"][0]
    assert plain(marks[0].note) == plain(
        f"ns, {spread(first['scores']['wordsim353'], decimals=1)}, after 0.25 epochs, "
        f"{seconds_text(first['seconds']['mean'])} s"
    )
    assert marks[0].x < marks[1].x
    assert marks[0].y > marks[1].y


@pytest.mark.parametrize(
    "ends", [[(90, 50), (90, 52), (90, 54)], [(90, 50), (80, 51), (100, 49)], [(90, 11), (60, 99)]]
)
def test_labels_do_not_overlap(ends):
    frame = Frame(0, 200, 10, 100)
    boxes = place_labels(ends, ["ns", "adaptive", "full"][: len(ends)], ends, frame)
    assert not any(one.clashes(two) for at, one in enumerate(boxes) for two in boxes[:at])
    assert all(frame.holds(box) for box in boxes)


@pytest.mark.parametrize(
    ("values", "ticks"),
    [([0, 5], [0, 1, 2, 3, 4, 5]), ([35.9, 61.7], [35, 40, 45, 50, 55, 60]), ([7.25, 7.6], [7.3, 7.4, 7.5, 7.6]),
     ([0], [-1, -0.5, 0, 0.5, 1])],
)  # fmt: skip
def test_linear_ticks(values, ticks):
    axis = linear_axis(values, 100, 0)
    assert list(axis.ticks) == pytest.approx(ticks)
    assert all(0 <= axis(value) <= 100 for value in values)


def test_log_axis():
    axis = log_axis([3, 82], 0, 100)
    assert list(axis.ticks) == pytest.approx([5, 10, 20, 50, 100])
    assert axis(30) - axis(3) == pytest.approx(axis(50) - axis(5))
    assert list(log_axis([0.9, 20_000], 0, 100).ticks) == pytest.approx([1, 10, 100, 1000, 10_000])


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (digits(4.049), "4.05"), (digits(12345.6), "12,346"), (digits(0.00474), "0.00474"), (digits(None), "–"),
        (digits(float("nan")), "–"), (digits(9.999), "10.0"), (seconds_text(0.00004), "0.00"),
        (seconds_text(0.0), "0"),
        (seconds_text(8.3249), "8.32"), (seconds_text(2179.4), "2,179"), (rate(4.049e6, 0.12e6), "4.05 ± 0.12 M"),
        (rate(950.0), "950"), (rate(None), "–"), (size(615e6), "615 MB"), (size(8.2e9), "8.20 GB"),
        (spread({"mean": 7.2431, "sd": 0.0002}, decimals=3), "7.243 ± <0.001"),
        (spread({"mean": 62.24, "sd": None}, decimals=1), "62.2"), (spread(None), "–"), (target_text(51.179), "51.2"),
        (target_text(55), "55"), (tick_text(-0.5), "−0.5"), (tick_text(20000.0), "20,000"),
    ],
)  # fmt: skip
def test_numbers(said, text):
    assert plain(said) == text


@pytest.mark.parametrize("paper", [0, 1])
def test_colours_are_readable(paper):
    # Names of curves and small text: 4.5 to 1 on paper (WCAG 2, AA).
    for name in ("ink", "muted", "other", *OBJECTIVES):
        assert _contrast(COLOURS[name][paper], COLOURS["paper"][paper]) >= 4.5
    for objective in OBJECTIVES:
        assert style_of("w2v", objective).colour == objective
    assert len({style_of("w2v", objective).mark for objective in OBJECTIVES}) == len(OBJECTIVES)
    assert len({COLOURS[name][paper] for name in (*OBJECTIVES, *PHASES)}) == len(OBJECTIVES) + len(PHASES)


def _contrast(one: str, two: str) -> float:
    lights = sorted(_luminance(colour) for colour in (one, two))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def _luminance(colour: str) -> float:
    channels = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1280])
def test_in_a_browser(browser: Browser, folder, width, dark):  # noqa: F811
    browser.open(folder / "report.html", width=width, dark=dark, phone=width == 360)
    run = browser.driver.execute_script
    assert browser.errors() == []
    assert browser.requests() == []
    # The page fits; what is wider scrolls inside itself.
    assert run("return document.documentElement.scrollWidth") == width
    paper = run("return getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(20, 23, 28)" if dark else "rgb(255, 255, 255)")
    fill = run("return getComputedStyle(document.querySelector('svg.chart text.f-ns')).fill")
    assert fill == ("rgb(92, 179, 240)" if dark else "rgb(10, 102, 176)")
    sizes = run("return [...document.querySelectorAll('svg.chart')].map(c => c.getBoundingClientRect().width)")
    assert len(sizes) == 16
    # Text of 12 in a drawing of 360 is never smaller than 10 pixels.
    assert min(sizes) >= 300
