"""The page of `w2v explore` before a browser sees it: words, points, 8-bit vectors, the file, and the command."""

import base64
import hashlib
import html
import json
import re
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from w2v.cli import main
from w2v.cli.explore import explore, model_names
from w2v.errors import FormatError, MissingExtraError, VocabularyError
from w2v.explore.neighbourhoods import nearest, shared_neighbours
from w2v.explore.page import build_page, embedded_json
from w2v.explore.payload import build_payload
from w2v.explore.projection import align, principal_components, project
from w2v.explore.quantise import accuracy, quantise, restore
from w2v.explore.words import choose_words
from w2v.vectors import KeyedVectors
from w2v.vectors.search import normalise_rows

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--",
    "a\"b'c&",
    "שלום\u202eabc",
    "👩‍👩‍👧",
    "x" * 900,
    "\ud83d",
    "{{data}}",
]


def random_vectors(count=40, size=7, seed=0, words=None):
    rng = np.random.default_rng(seed)
    words = words or [f"w{row}" for row in range(count)]
    return KeyedVectors.from_arrays(
        words, rng.normal(size=(len(words), size)).astype(np.float32), np.arange(len(words), 0, -1) * 10
    )


def unit_rows(count, size, seed=0):
    return normalise_rows(np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32))


# --- points ---


@pytest.mark.parametrize(("count", "size"), [(3, 2), (57, 3), (203, 31)])
def test_pca_agrees_with_the_singular_value_decomposition(count, size):
    rows = unit_rows(count, size)
    points, explained = principal_components(rows)
    left, sizes, axes = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    expected = (left * sizes)[:, :2] * np.sign(axes[:2][[0, 1], np.abs(axes[:2]).argmax(1)])
    np.testing.assert_allclose(points, expected / np.abs(expected).max(), atol=1e-5)
    assert explained == pytest.approx((sizes[:2] ** 2).sum() / (sizes**2).sum(), abs=1e-5)


def test_pca_of_vectors_that_span_no_plane():
    line, explained = principal_components(np.array([[1], [-1], [1]], np.float32))
    np.testing.assert_allclose(line, [[0.5, 0], [-1, 0], [0.5, 0]], atol=1e-6)
    assert explained == pytest.approx(1)
    equal, explained = principal_components(np.full((4, 3), 0.5, np.float32))
    assert not equal.any()
    assert explained == 0


def test_alignment_undoes_turning_mirroring_and_scaling():
    reference = np.random.default_rng(1).normal(size=(30, 2))
    turned = reference @ np.array([[0.6, 0.8], [0.8, -0.6]]) * 3 + 7
    np.testing.assert_allclose(align(turned, reference), reference - reference.mean(0), atol=1e-5)
    assert np.isfinite(align(np.zeros((3, 2)), reference[:3])).all()


@pytest.mark.parametrize("method", ["umap", "tsne"])
def test_a_missing_extra_is_named(method, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(MissingExtraError, match=r"a map by .* pip install 'w2v\[map\]'"):
        project(unit_rows(5, 3), method)


@pytest.mark.parametrize("count", [3, 60])
def test_tsne_keeps_clusters_together_and_repeats_itself(count):
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(3)
    centres = np.eye(8)[np.arange(count) % 3]
    rows = normalise_rows((centres + 0.05 * rng.normal(size=(count, 8))).astype(np.float32))
    points = project(rows, "tsne", seed=4).positions
    assert points.shape == (count, 2)
    assert np.abs(points).max() == pytest.approx(1)
    np.testing.assert_array_equal(points, project(rows, "tsne", seed=4).positions)
    if count > 3:
        nearest_point = np.linalg.norm(points[:, None] - points[None], axis=2) + 9 * np.eye(count)
        assert (nearest_point.argmin(1) % 3 == np.arange(count) % 3).all()


class FakeUMAP:
    """Stands in for the package's class, which takes half a minute to compile: records what it is asked."""

    asked: dict = {}

    def __init__(self, **options):
        FakeUMAP.asked = options

    def fit_transform(self, rows):
        return np.asarray(FakeUMAP.asked["init"]) + 5


def test_umap_starts_from_pca_with_the_seed(monkeypatch):
    module = type(sys)("umap")
    module.UMAP = FakeUMAP
    monkeypatch.setitem(sys.modules, "umap", module)
    rows = unit_rows(9, 4)
    points = project(rows, "umap", seed=7).positions
    assert (FakeUMAP.asked["random_state"], FakeUMAP.asked["n_neighbors"], FakeUMAP.asked["metric"]) == (
        7,
        8,
        "cosine",
    )
    np.testing.assert_allclose(points, principal_components(rows).positions, atol=2e-3)


# --- 8 bits ---


@pytest.mark.parametrize(("count", "size"), [(3, 1), (500, 33), (1000, 100)])
def test_rounded_vectors_are_near_and_of_length_one(count, size):
    rows = unit_rows(count, size)
    rounded = quantise(rows)
    assert rounded.dtype == np.int8
    assert np.abs(rounded.astype(int)).max(axis=1).tolist() == [127] * count
    restored = restore(rounded)
    np.testing.assert_allclose(np.linalg.norm(restored, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(restored, rows, atol=0.6 / 127)


def test_zeros_stay_zeros():
    assert not restore(quantise(np.zeros((2, 5), np.float32))).any()


def test_accuracy_sees_what_was_lost():
    rows = unit_rows(400, 20)
    assert accuracy(rows, rows) == (0, 1)
    good = accuracy(rows, restore(quantise(rows)))
    assert 0 < good.largest_error < 0.02
    assert good.agreement > 0.95
    bad = accuracy(rows, restore(np.sign(rows).astype(np.int8)))
    assert bad.largest_error > 0.1
    assert bad.agreement < 0.8


# --- neighbourhoods ---


def test_neighbours_are_those_of_keyed_vectors():
    vectors = random_vectors(83, 9)
    found = nearest(normalise_rows(vectors.vectors), 10, 5)
    expected = [[vectors.key_to_index[word] for word, _ in vectors.most_similar(row, topn=5)] for row in range(10)]
    assert [rows.tolist() for rows in found] == expected


def test_shared_neighbours():
    rows = unit_rows(50, 6)
    assert shared_neighbours(rows, rows, 30, 10).tolist() == [10] * 30
    assert shared_neighbours(rows, rows, 99, 49).tolist() == [49] * 50
    other = unit_rows(50, 4, seed=9)
    one, two = nearest(rows, 50, 10), nearest(other, 50, 10)
    assert shared_neighbours(rows, other, 50, 10).tolist() == [
        len(set(a.tolist()) & set(b.tolist())) for a, b in zip(one, two, strict=True)
    ]


# --- words ---


def test_words_are_the_most_frequent_ones():
    vectors = KeyedVectors.from_arrays(list("abcd"), np.eye(4, dtype=np.float32), np.array([1, 9, 3, 9]))
    (shown,) = choose_words({"m": vectors}, 3)
    assert shown.words == ["b", "d", "c"]
    assert (shown.ranks.tolist(), shown.counts.tolist(), shown.total) == ([1, 2, 3], [9, 9, 3], 4)
    np.testing.assert_array_equal(shown.unit_rows, np.eye(4)[[1, 3, 2]])
    uncounted = KeyedVectors.from_arrays(list("abcd"), np.eye(4, dtype=np.float32))
    (shown,) = choose_words({"m": uncounted}, 3)
    assert (shown.words, shown.counts) == (list("abc"), None)


def test_two_models_show_the_words_of_both():
    first, second = random_vectors(words=list("abcdef")), random_vectors(words=list("xfbdya"), size=3)
    a, b = choose_words({"one": first, "two": second}, 3)
    assert a.words == b.words == ["a", "b", "d"]
    assert (a.ranks.tolist(), b.ranks.tolist()) == ([1, 2, 4], [6, 3, 4])
    assert (a.unit_rows.shape, b.unit_rows.shape) == ((3, 7), (3, 3))


def test_too_few_words_are_an_error():
    with pytest.raises(VocabularyError, match="at least 3 words, and m has 1: train on more text"):
        choose_words({"m": random_vectors(1)}, 10)
    with pytest.raises(VocabularyError, match="one and two share 0: compare models of the same language"):
        choose_words({"one": random_vectors(words=list("abc")), "two": random_vectors(words=list("xyz"))}, 10)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_vectors_that_are_not_finite_are_an_error(value):
    vectors = random_vectors(5)
    vectors.vectors[3, 1] = value
    with pytest.raises(FormatError, match=r"m: 1 of the vectors \(such as that of 'w3'\) are not finite"):
        choose_words({"m": vectors}, 5)
    assert len(choose_words({"m": vectors}, 3)[0].words) == 3  # words that are not shown do not count


# --- the file ---


def decoded(text, kind, *shape):
    return np.frombuffer(base64.b64decode(text), kind).reshape(*shape)


def test_payload_of_two_models():
    first, second = random_vectors(60, 8), random_vectors(60, 5, seed=2)
    shown = choose_words({"one": first, "two": second}, 50)
    payload = build_payload(shown, "title")
    assert payload["words"] == [f"w{row}" for row in range(50)]
    assert (payload["projection"], payload["neighbours"]) == ("PCA", 20)
    a, b = payload["models"]
    np.testing.assert_array_equal(decoded(a["vectors"], "i1", 50, 8), quantise(shown[0].unit_rows))
    np.testing.assert_array_equal(decoded(b["vectors"], "i1", 50, 5), quantise(shown[1].unit_rows))
    points = principal_components(shown[0].unit_rows).positions
    np.testing.assert_array_equal(decoded(a["positions"], "<f4", 50, 2), points)
    assert (a["counts"][:2], a["ranks"][:2], a["total"], a["dimensions"]) == ([600, 590], [1, 2], 60, 8)
    restored = [restore(quantise(model.unit_rows)) for model in shown]
    assert decoded(payload["shared"], "u1", 50).tolist() == shared_neighbours(*restored, 50, 20).tolist()
    json.dumps(payload, allow_nan=False)


def test_payload_of_the_smallest_model():
    payload = build_payload(choose_words({"m": random_vectors(3, 1)}, 3), "t")
    assert (payload["neighbours"], payload["shared"]) == (2, None)
    assert build_page(payload).startswith("<!doctype html>")


def page_of(words, title):
    return build_page(build_payload(choose_words({"m": random_vectors(words=words)}, 99), title))


def test_words_of_strangers_cannot_leave_the_data():
    page = page_of(HOSTILE, "<i>&{{script}}</title>")
    assert page.count("<script") == page.count("</script") == 2
    assert page.count("<!--") == 0
    assert "<i>" not in page
    assert "<title>&lt;i&gt;&amp;{{script}}&lt;/title&gt;</title>" in page
    text = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1]
    words = json.loads(text)["words"]
    assert words == [word.replace("\ud83d", "\ufffd") for word in HOSTILE]
    page.encode()


def test_embedded_json_holds_no_markup():
    value = {"<!--": "</script>", "x": ["]]>", "&amp;", "\u2028"]}
    text = embedded_json(value)
    assert not set("<>&") & set(text)
    assert json.loads(text) == value
    with pytest.raises(ValueError, match="JSON compliant"):
        embedded_json(float("nan"))


def test_the_policy_allows_the_page_itself_and_nothing_else():
    page = page_of(list("abcd"), "t")
    policy = html.unescape(re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)[1])
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    script = re.search(r"<script>(.*?)</script>", page, re.S)[1]
    style = re.search(r"<style>(.*?)</style>", page, re.S)[1]
    for name, part in (("script-src", script), ("style-src", style)):
        digest = base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
        assert rules[name] == f"'sha256-{digest}'"
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    assert page.index("Content-Security-Policy") < page.index("<link")


def test_no_part_names_an_address_or_writes_markup():
    page = page_of(list("abcd"), "t")
    addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+", page))
    assert addresses == {"http://www.w3.org"}  # the name space of the icon, which is never fetched
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "fetch("):
        assert word not in page
    assert not re.search(r"\son\w+=|javascript:|@import|url\(", page)


# --- the command ---


def run(*arguments):
    try:
        runner = CliRunner(mix_stderr=False)
    except TypeError:  # from click 8.2 on they are always apart
        runner = CliRunner()
    return runner.invoke(explore, [str(argument) for argument in arguments])


@pytest.fixture
def model(tmp_path):
    random_vectors(30).save(tmp_path / "model")
    return tmp_path / "model"


def test_explore_writes_a_page_and_says_so(model, tmp_path):
    page = tmp_path / "new" / "page.html"
    result = run(model, "-o", page, "--words", 10, "--title", "A <b>title</b>")
    assert result.exception is None, result.output
    assert result.stdout == ""
    size = page.stat().st_size
    assert re.fullmatch(
        re.escape(f"saved to {page}: 10 words × 7 by PCA, {size / 1000:.1f} kB; ")
        + r"\d+ % of the nearest neighbours are exact; open it in a browser\n",
        result.stderr,
    )
    assert "<title>A &lt;b&gt;title&lt;/b&gt;</title>" in page.read_text("utf-8")
    again = page.read_bytes()
    record = run(model, "-o", page, "--words", 10, "--title", "A <b>title</b>", "--json").stdout
    assert json.loads(record) == [
        {"output": str(page), "words": 10, "dimensions": 7, "projection": "pca", "bytes": size}
    ]
    assert page.read_bytes() == again


def test_explore_two_models(model, tmp_path):
    other = tmp_path / "other.bin"
    random_vectors(25, 4, seed=5).save_word2vec_format(other, binary=True)
    result = run(model, other, "-o", tmp_path / "two.htm")
    assert result.exception is None, result.output
    page = (tmp_path / "two.htm").read_text("utf-8")
    assert "<title>model and other.bin</title>" in page
    assert "25 words × 7 and 4 by PCA" in result.stderr
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])
    assert [(m["name"], m["dimensions"], m["counts"] is None) for m in data["models"]] == [
        ("model", 7, False),
        ("other.bin", 4, True),
    ]


def test_slow_projections_are_announced(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", type(sys)("umap"))
    sys.modules["umap"].UMAP = FakeUMAP
    random_vectors(1234, 3).save(tmp_path / "model")
    result = run(tmp_path / "model", "-o", tmp_path / "page.html", "--projection", "umap")
    assert result.exception is None, result.output
    assert result.stderr.splitlines()[0] == "placing 1,234 words by UMAP"
    assert "1,234 words × 3 by UMAP" in result.stderr


def test_names_tell_models_apart(tmp_path):
    assert model_names([tmp_path / "a" / "m", tmp_path / "b" / "m"]) == ["a/m", "b/m"]
    assert model_names([tmp_path / "m", tmp_path / "m"]) == ["m (1)", "m (2)"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["one.txt", "-o", "page.html"], 1, "a map needs at least 3 words, and one.txt has 1: train on more text"),
        (["m.txt", "x.txt", "-o", "page.html"], 1, "m.txt and x.txt share 0: compare models of the same language"),
        (["nan.txt", "-o", "page.html"], 1, "nan.txt"),
        (["m.txt", "-o", "m.txt/page.html"], 1, "cannot write"),
        (["m.txt", "-o", "page.txt"], 2, "give it the suffix .html"),
        (["m.html", "-o", "m.html"], 2, "would replace the input m.html"),
        (["m.txt", "-o", "page.html", "--words", "2"], 2, "2 is not in the range x>=3"),
        (["gone", "-o", "page.html"], 1, "no such file: gone"),
        (["m.txt", "-o", "page.html", "--projection", "umap"], 1, "pip install 'w2v[map]'"),
    ],
)
def test_errors_are_one_line(arguments, status, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "umap", None)
    texts = {
        "one.txt": "1 2\na 1 2\n", "m.txt": "3 2\na 1 2\nb 2 3\nc 1 1\n", "x.txt": "3 2\nd 1 2\ne 2 3\nf 1 1\n",
        "nan.txt": "3 2\na 1 nan\nb 2 3\nc 1 1\n", "m.html": "3 2\na 1 2\nb 2 3\nc 1 1\n",
    }  # fmt: skip
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(SystemExit) as stopped:
        main(["explore", *arguments])
    said = capsys.readouterr()
    assert stopped.value.code == status
    assert message in said.err
    assert said.out == ""
    if status == 1:
        assert len(said.err.splitlines()) == 1
    assert not (tmp_path / "page.html").exists()
