"""The page of `w2v explore` in a real browser: search, clicks, keys, touch, and what can be read then."""

import json
import time
from itertools import combinations
from urllib.parse import quote, urlencode

import numpy as np
import pytest
from browser import browser  # noqa: F401
from click.testing import CliRunner

from w2v.cli.explore import explore
from w2v.explore.neighbourhoods import shared_neighbours
from w2v.explore.quantise import quantise, restore
from w2v.vectors import KeyedVectors
from w2v.vectors.search import normalise_rows

WORDS, SIZE, SHOWN = 700, 24, 20
HOSTILE = [
    "</script><script>window.hacked=1</script>", '"><img src=x onerror="window.hacked=1">', "שלום\u202eabc", "👩‍👩‍👧",
    "Donaudampfschifffahrtsgesellschaftskapitänswitwenrente" * 3, "a&amp;b<c", "'--><!--",
]  # fmt: skip
NAMED = ["man", "woman", "king", "queen", "kingdom", "Café", "CAFÉ", "élève", "한국", "하늘", *HOSTILE]


def make_vectors(seed):
    """Words in clusters, named ones among the frequent; king − man + woman is queen, roughly."""
    rng = np.random.default_rng(5)
    centres = rng.normal(size=(12, SIZE))
    rows = centres[rng.integers(0, 12, WORDS)] + 0.9 * rng.normal(size=(WORDS, SIZE))
    words = [f"word{row}" for row in range(WORDS)]
    for place, word in enumerate(NAMED):
        words[30 + 4 * place] = word
    rows += (0.8 * np.random.default_rng(seed).normal(size=rows.shape)) if seed else 0
    man, woman, king, queen = (words.index(word) for word in NAMED[:4])
    rows[queen] = rows[king] - rows[man] + rows[woman] + 0.05 * rng.normal(size=SIZE)
    return KeyedVectors.from_arrays(words, rows.astype(np.float32), 10**6 // np.arange(1, WORDS + 1))


@pytest.fixture(scope="module")
def vectors():
    return make_vectors(0)


@pytest.fixture(scope="module")
def other():
    return make_vectors(8)


@pytest.fixture(scope="module")
def pages(tmp_path_factory, vectors, other):
    """The page of one model and the page of two."""
    folder = tmp_path_factory.mktemp("pages")
    vectors.save(folder / "first")
    other.save(folder / "second")
    for arguments in (["first", "-o", "one.html"], ["first", "second", "-o", "two.html"]):
        result = CliRunner().invoke(explore, [str(folder / a) if a != "-o" else a for a in arguments])
        assert result.exception is None, result.output
    return folder / "one.html", folder / "two.html"


class Page:
    """What a test does with a page, and reads."""

    def __init__(self, opened, file):
        self.opened, self.driver, self.file = opened, opened.driver, file

    def open(self, **options):
        if "word" in options:
            options["fragment"] = urlencode({"word": options.pop("word")})
        self.opened.open(self.file, **options)
        self.wait("explorer.ready()")
        return self

    def js(self, code, *arguments):
        return self.driver.execute_script(f"return {code}", *arguments)

    def wait(self, code):
        end = time.monotonic() + 20
        while not self.js(code):
            assert time.monotonic() < end, f"waited in vain for {code}"
            time.sleep(0.02)

    def find(self, selector):
        return self.driver.find_element("css selector", selector)

    def texts(self, selector):
        return self.js("[...document.querySelectorAll(arguments[0])].map((e) => e.textContent)", selector)

    def keys(self, *keys):
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def type(self, text):
        """Put ``text`` into the search field at once."""
        self.js(
            "(() => { const field = document.getElementById('search'); field.value = arguments[0];"
            " field.dispatchEvent(new Event('input')); })()",
            text,
        )

    def pointer(self, *steps, kind="mouse"):
        """Steps: (x, y) to go to, "down" and "up"."""
        from selenium.webdriver.common.action_chains import ActionBuilder
        from selenium.webdriver.common.actions.pointer_input import PointerInput

        actions = ActionBuilder(self.driver, mouse=PointerInput(kind, kind), duration=20)
        for step in steps:
            if isinstance(step, str):
                getattr(actions.pointer_action, f"pointer_{step}")()
            else:
                actions.pointer_action.move_to_location(*map(round, step))
        actions.perform()

    def where(self, word, number=0):
        return self.js("explorer.where(...arguments)", word, number)

    def headword(self):
        return self.find("#word").text if self.find("#entry").is_displayed() else None

    def neighbours(self, number=0):
        """(word, cosine) of a column of the word's view, as written there."""
        column = f"#neighbours .column:nth-child({number + 1})"
        cosines = [float(text.replace("−", "-")) for text in self.texts(f"{column} .value")]
        return list(zip(self.texts(f"{column} .word"), cosines, strict=True))


@pytest.fixture
def page(browser, pages):  # noqa: F811
    """The page of one model; no test of it may leave an error or a request behind."""
    yield Page(browser, pages[0])
    assert browser.errors() == []
    assert browser.requests() == []


@pytest.fixture
def double(browser, pages):  # noqa: F811
    """The page of two models."""
    yield Page(browser, pages[1])
    assert browser.errors() == []
    assert browser.requests() == []


def assert_same_neighbours(written, exact):
    """Cosines agree to 0.01 with those of 8 bits; words may change places only where theirs are that near."""
    assert len(written) == len(exact) == SHOWN
    expected = dict(exact)
    for (word, cosine), (_, best) in zip(written, exact, strict=True):
        assert cosine == pytest.approx(best, abs=0.012)
        if word in expected:
            assert cosine == pytest.approx(expected[word], abs=0.012)
    assert len(expected.keys() & {word for word, _ in written}) >= SHOWN - 1


def most_isolated(page, words):
    """The word of those in view that is farthest from all others on the map, and its place."""
    box = page.js("(explorer.maps[0].host.getBoundingClientRect())")
    box = [box[side] for side in ("left", "top", "right", "bottom")]
    places = np.array(page.js("arguments[0].map((word) => explorer.where(word))", words))
    inside = (places > np.add(box[:2], 20)).all(1) & (places < np.subtract(box[2:], [60, 20])).all(1)
    gaps = np.linalg.norm(places[:, None] - places[None], axis=2) + np.diag(np.full(len(words), 1e9))
    best = int(np.where(inside, gaps.min(1), 0).argmax())
    assert gaps[best].min() > 6
    return words[best], places[best].tolist()


# --- search ---


def test_search_shows_the_nearest_neighbours(page, vectors):
    from selenium.webdriver.common.keys import Keys

    page.open()
    assert page.headword() is None
    page.find("#search").click()
    page.keys("kin")
    assert page.texts("#search-options .word") == ["king", "kingdom"]
    page.keys(Keys.ARROW_DOWN, Keys.ENTER)
    assert page.headword() == "king"
    assert_same_neighbours(page.neighbours(), vectors.most_similar("king", topn=SHOWN))
    rank = vectors.key_to_index["king"] + 1
    assert page.find("#facts").text == f"#{rank} of 700 by frequency · {10**6 // rank:,} times in the text"
    assert page.js("new URLSearchParams(location.hash.slice(1)).get('word')") == "king"
    assert "king" in page.find("#status").get_property("textContent")


def test_search_folds_case_and_accents_and_finds_parts(page):
    page.open()
    for typed, first in (
        ("CAFE", "Café"), ("CAFÉ", "CAFÉ"), ("ELEVE", "élève"), ("하느", "하늘"), ("하", "한국"), ("국", "한국"),
        ("</scr", HOSTILE[0]), ("ingdo", "kingdom"), ("\u05dd", HOSTILE[2]),
    ):  # fmt: skip
        page.type(typed)
        assert page.texts("#search-options .word")[0] == first


def test_search_says_what_is_not_there(page):
    page.open()
    page.find("#search").click()
    page.keys("nonsense")
    assert page.texts("#search-options li") == ["“\u2068nonsense\u2069” is not among the 700 words of this page."]


# --- the map ---


def test_a_click_on_a_point_chooses_its_word(page, vectors):
    page.open()
    word, place = most_isolated(page, vectors.index_to_key)
    page.pointer(place, "down", "up")
    assert page.headword() == word
    assert_same_neighbours(page.neighbours(), vectors.most_similar(word, topn=SHOWN))
    second = page.neighbours()[1][0]
    page.driver.find_elements("css selector", "#neighbours button")[1].click()
    assert page.headword() == second
    page.find("#back").click()
    page.wait(f"document.getElementById('word').textContent === {word!r}")
    assert page.js("document.getElementById('back').disabled") is False
    page.find("#clear").click()
    assert page.headword() is None


def test_the_wheel_zooms_around_the_pointer_and_dragging_moves(page):
    page.open()
    before = page.where("king")
    page.js(
        "explorer.maps[0].overlay.dispatchEvent(new WheelEvent('wheel', {deltaY: -200, cancelable: true,"
        " clientX: arguments[0], clientY: arguments[1]}))",
        *before,
    )
    np.testing.assert_allclose(page.where("king"), before, atol=0.5)
    zoomed = page.js("explorer.maps[0].camera.scale / explorer.maps[0].first.scale")
    assert zoomed == pytest.approx(np.exp(0.36), rel=1e-6)
    page.pointer((400, 400), "down", (450, 420), (470, 430), "up")
    np.testing.assert_allclose(page.where("king"), np.add(before, [70, 30]), atol=1.5)
    assert page.headword() is None
    page.keys("0")
    np.testing.assert_allclose(page.js("explorer.maps[0].camera.scale / explorer.maps[0].whole.scale"), 1)


@pytest.fixture
def clustered(browser, tmp_path):  # noqa: F811
    """The page of 996 words in one place and 4 far from it."""
    rows = np.random.default_rng(2).normal(0, 0.02, size=(1000, 3)) + [0.1, 0.1, 1]
    rows[-4:] = [[5, 0.1, -1], [5, 0.2, -1], [4.9, 0.1, -1], [5, 0, -1]]
    KeyedVectors.from_arrays([f"w{row}" for row in range(1000)], rows.astype(np.float32)).save(tmp_path / "model")
    result = CliRunner().invoke(explore, [str(tmp_path / "model"), "-o", str(tmp_path / "page.html")])
    assert result.exception is None, result.output
    yield Page(browser, tmp_path / "page.html")
    assert browser.errors() == []


SEEN = """(({width, height, words}, map) => words.filter((_, row) => { const [x, y] = map.where(row);
    return x >= 0 && y >= 0 && x <= width && y <= height; }).length)(explorer.maps[0], explorer.maps[0])"""


def test_a_few_far_words_do_not_shrink_the_first_view(clustered):
    clustered.open()
    first = clustered.js("explorer.maps[0].camera.scale")
    assert 900 < clustered.js(SEEN) < 1000
    clustered.find("[aria-label='Show everything']").click()
    clustered.wait("explorer.ready()")
    assert clustered.js(SEEN) == 1000
    assert first > 3 * clustered.js("explorer.maps[0].camera.scale")
    clustered.open()
    clustered.keys("0")
    clustered.wait("explorer.ready()")
    assert clustered.js(SEEN) == 1000


@pytest.mark.parametrize("word", [None, "king"])
def test_labels_are_neither_cut_off_nor_covered(page, word):
    page.open(**({"word": word} if word else {}))
    box = page.js("(({left, top}) => [left, top])(explorer.maps[0].host.getBoundingClientRect())")
    zoom = page.js("(({left, top}) => [left, top])(document.querySelector('.zoom').getBoundingClientRect())")
    corner = np.subtract(zoom, box)
    chosen = set(page.js("explorer.maps[0].choice?.rows") or [])
    size = page.js("[explorer.maps[0].width, explorer.maps[0].height]")
    seen = 0
    for shift in range(12):
        page.js("explorer.maps[0].move({...arguments[0], x: arguments[0].x + 0.013 * arguments[1]})",
                page.js("explorer.maps[0].first"), shift)  # fmt: skip
        for row, left, top, right, bottom in page.js("(explorer.maps[0].draw(), explorer.maps[0].boxes)"):
            if row not in chosen:
                seen += 1
                assert left >= 0
                assert top >= 0
                assert right <= size[0]
                assert bottom <= size[1]
                assert right <= corner[0] or bottom <= corner[1]
    assert seen > 100


def test_labels_never_meet_and_stay_while_zooming_in(page):
    page.open()
    shown = None
    for _ in range(5):
        boxes = page.js("(explorer.maps[0].draw(), explorer.maps[0].boxes)")
        assert len(boxes) > 5
        for (_, left, top, right, bottom), (_, left2, top2, right2, bottom2) in combinations(boxes, 2):
            assert right <= left2 or right2 <= left or bottom <= top2 or bottom2 <= top
        if shown is not None:
            inside = [box[0] for box in shown if box[1] > 250 and box[3] < 640 and 200 < box[2] < 540]
            assert set(inside) <= {box[0] for box in boxes}
        shown = boxes
        page.js("explorer.maps[0].zoomAt(454, 370, 1.3)")


@pytest.mark.parametrize("kind", ["webgl", "pixels"])
def test_both_painters_put_points_where_the_words_are(page, vectors, kind):
    page.open()
    word, place = most_isolated(page, vectors.index_to_key)
    seen = page.js(
        """(() => { const [kind, x, y] = arguments, map = explorer.maps[0];
        map.makePainter(kind); map.moved = true; map.draw();
        const copy = document.createElement('canvas'), context = copy.getContext('2d');
        copy.width = map.points.width; copy.height = map.points.height;
        context.drawImage(map.points, 0, 0);
        const box = map.points.getBoundingClientRect(), at = (x, y) => [...context.getImageData(x, y, 1, 1).data];
        return [map.host.dataset.painter, at(x - box.left, y - box.top), at(x - box.left, y - box.top + 7)]; })()""",
        kind, *place,
    )  # fmt: skip
    assert seen[0] == {"webgl": "WebGLPainter", "pixels": "PixelPainter"}[kind]
    assert seen[1][3] > 100, f"nothing is drawn at {word}"
    assert seen[1][2] > seen[1][0], "the point is not blue"
    assert seen[2][3] == 0


def test_a_lost_webgl_context_is_replaced(page):
    page.open()
    page.js("explorer.maps[0].makePainter('webgl')")
    page.js("explorer.maps[0].painter.gl.getExtension('WEBGL_lose_context').loseContext()")
    page.wait("explorer.maps[0].host.dataset.painter === 'PixelPainter'")


# --- analogies ---


def test_an_analogy_by_keyboard(page, vectors):
    from selenium.webdriver.common.keys import Keys

    page.open()
    page.find("#tab-analogy").click()
    page.find("#analogy-a").click()
    for word in ("man", "king", "woman"):
        page.keys(word, Keys.ENTER)  # the best completion; the focus moves on
    page.keys(Keys.ENTER)
    exact = vectors.most_similar(["king", "woman"], ["man"], topn=10)
    words = page.texts("#answers .word")
    assert words[0] == exact[0][0] == "queen"
    assert len(words) == 10
    assert not {"man", "king", "woman"} & set(words)
    assert len(set(words) & {word for word, _ in exact}) >= 9
    np.testing.assert_allclose([float(c) for c in page.texts("#answers .value")], [c for _, c in exact], atol=0.015)
    assert page.find("#status").get_property("textContent").startswith("\u2068man\u2069 is to")


def test_an_analogy_with_an_unknown_word_says_so(page):
    page.open()
    page.find("#tab-analogy").click()
    page.js("['man', 'kingg', 'woman'].forEach((w, i) => document.getElementById('analogy-' + 'abc'[i]).value = w)")
    page.find("#analogy button").click()
    assert "kingg" in page.find("#analogy-error").text
    assert page.find("#analogy-b").get_attribute("aria-invalid") == "true"
    assert page.js("document.activeElement.id") == "analogy-b"
    assert page.texts("#answers .word") == []


def test_a_page_of_three_words_has_no_answer_to_an_analogy(browser, tmp_path):  # noqa: F811
    words, rows = ["man", "king", "woman"], np.eye(3, dtype=np.float32)
    KeyedVectors.from_arrays(words, rows).save(tmp_path / "three")
    result = CliRunner().invoke(explore, [str(tmp_path / "three"), "-o", str(tmp_path / "three.html")])
    assert result.exception is None, result.output
    page = Page(browser, tmp_path / "three.html").open(fragment="a=man&b=king&c=woman")
    assert page.find("#analogy-error").text == "There is no other word on this page."
    assert page.texts("#answers .word") == []
    assert browser.errors() == []


# --- reading ---


def test_dark_and_light(page):
    colour = "getComputedStyle(document.documentElement).backgroundColor"
    page.open()
    light = page.js(colour)
    page.find("#theme").click()
    dark = page.js(colour)
    assert (light, page.find("#theme").get_attribute("aria-pressed")) == ("rgb(250, 249, 245)", "true")
    assert dark == "rgb(19, 22, 27)"
    page.open(dark=True)
    assert page.js(colour) == dark
    assert page.find("#theme").get_attribute("aria-pressed") == "true"


@pytest.mark.parametrize("dark", [False, True])
def test_text_has_enough_contrast(page, dark):
    page.open(dark=dark)
    names = ["ink", "muted", "chosen-ink", "paper", "raised", "sunken", "edge", "chosen", "a", "b"]
    colours = page.js(
        """arguments[0].map((name) => { const probe = document.body.appendChild(document.createElement('i'));
        probe.style.color = `var(--${name})`; const colour = getComputedStyle(probe).color; probe.remove();
        return colour.match(/[\\d.]+/g).slice(0, 3).map(Number); })""",
        names,
    )
    colour = dict(zip(names, colours, strict=True))
    for text in ("ink", "muted", "chosen-ink"):
        for ground in ("paper", "raised", "sunken"):
            assert contrast(colour[text], colour[ground]) >= 4.5, (text, ground)
    for ground in ("a", "b"):
        assert contrast(colour["raised"], colour[ground]) >= 4.5, ground
    for edge in ("edge", "chosen"):
        for ground in ("paper", "raised"):
            assert contrast(colour[edge], colour[ground]) >= 3, (edge, ground)


def contrast(one, other):
    """Of WCAG 2: the ratio of the relative luminances, each raised by 0.05."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour):
    parts = np.array(colour) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_the_keyboard_alone(page, vectors):
    from selenium.webdriver.common.keys import Keys

    page.open()
    page.keys("/")
    assert page.js("document.activeElement.id") == "search"
    page.keys("queen", Keys.ENTER)
    assert page.headword() == "queen"
    page.keys(Keys.ESCAPE, Keys.ESCAPE)  # leaves the empty field, then the word
    assert page.headword() is None
    for _ in range(8):
        page.keys(Keys.TAB)
        if page.js("document.activeElement.className") == "overlay":
            break
    assert page.js("document.activeElement.matches('.overlay:focus-visible')")
    start = page.js("explorer.maps[0].camera")
    page.keys("++", Keys.ARROW_RIGHT, Keys.ARROW_UP)
    camera = page.js("explorer.maps[0].camera")
    assert camera["scale"] == pytest.approx(start["scale"] * 1.6**2)
    assert camera["x"] > start["x"]
    assert camera["y"] > start["y"]
    picked = page.find("#status").get_property("textContent").strip("\u2068\u2069")
    page.keys(Keys.ENTER)
    assert page.headword() == picked
    page.find("#tab-word").send_keys(Keys.ARROW_RIGHT)
    assert page.js("document.activeElement.id") == "tab-analogy"
    assert page.find("#view-analogy").is_displayed()
    page.keys("?")
    assert page.js("document.getElementById('keys').open")
    page.keys(Keys.ESCAPE)
    assert not page.js("document.getElementById('keys').open")


def test_every_control_has_a_name(page):
    page.open()
    unnamed = page.js(
        "[...document.querySelectorAll('button, input, canvas.overlay, [role=tabpanel]')].filter((e) =>"
        " !(e.textContent.trim().length > 1 || e.getAttribute('aria-label') || e.labels?.length))"
        ".map((e) => e.outerHTML)"
    )
    assert unnamed == []


def test_words_of_strangers_are_only_text(page):
    page.open()
    for word in HOSTILE:
        page.type(word)
        assert page.texts("#search-options .word") == [word]
        page.js("(location.hash = arguments[0])", urlencode({"word": word}))
        page.wait(f"document.getElementById('word').textContent === {json.dumps(word)}")
        assert page.js("window.hacked === undefined && !document.querySelector('img')")
        assert page.js("document.scripts.length") == 2
        assert page.js("document.documentElement.scrollWidth <= innerWidth")
        assert page.js("document.getElementById('title').textContent") == "first"
        page.type("<img src=x>")
        assert "<img src=x>" in page.texts("#search-options li")[0]
        assert not page.js("document.querySelector('img')")


def test_an_address_names_a_word_or_an_analogy(page):
    page.open(word="한국")
    assert page.headword() == "한국"
    page.open(fragment="a=man&b=king&c=woman")
    assert page.texts("#answers .word")[0] == "queen"
    page.open(fragment="word=nowhere&a=%ZZ")
    assert page.headword() is None
    for fragment in ("한국", "%ED%95%9C%EA%B5%AD"):
        page.open(fragment=fragment)
        assert page.headword() == "한국"
    page.js("location.hash = 'king'")
    page.wait("document.getElementById('word').textContent === 'king'")
    page.open(fragment=quote(HOSTILE[1]))  # which holds =, as a named word would
    assert page.headword() == HOSTILE[1]
    for fragment in ("nowhere", "%ZZ", "word=", ""):
        page.open(fragment=fragment)
        assert page.headword() is None


# --- phones ---


@pytest.mark.parametrize("which", [0, 1])
def test_a_phone_scrolls_down_only(browser, pages, which):  # noqa: F811
    page = Page(browser, pages[which])
    for word in ("king", HOSTILE[4]):
        page.open(word=word, width=360, height=740, scale=2, phone=True)
        for tab in page.driver.find_elements("css selector", ".tab"):
            tab.click()
            wide = page.js("Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)")
            assert wide <= 360, tab.text
        page.find("#tab-word").click()
        sizes = page.js("[...document.querySelectorAll('.tab, .icon, input[type=text], .neighbour')]"
                        ".filter((e) => e.offsetParent).map((e) => e.getBoundingClientRect().height)")  # fmt: skip
        assert min(sizes) >= 40
    assert (browser.errors(), browser.requests()) == ([], [])


def test_touch_chooses_and_pinches(page, vectors):
    page.open(width=360, height=740, phone=True)
    word, place = most_isolated(page, vectors.index_to_key)
    touch(page, "touchStart", place)
    touch(page, "touchEnd")
    assert page.headword() == word
    before = page.js("explorer.maps[0].camera.scale")
    middle = page.js("(({top, bottom}) => (top + bottom) / 2)(explorer.maps[0].host.getBoundingClientRect())")
    touch(page, "touchStart", (150, middle), (210, middle))
    for apart in (40, 50, 60):
        touch(page, "touchMove", (180 - apart, middle), (180 + apart, middle))
    touch(page, "touchEnd")
    assert page.js("explorer.maps[0].camera.scale") == pytest.approx(2 * before, rel=0.05)
    assert page.headword() == word


def touch(page, kind, *points):
    touches = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
    page.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})


# --- two models ---


def test_two_models_side_by_side(double, vectors, other):
    double.open(word="king")
    lists = [double.neighbours(number) for number in (0, 1)]
    for written, model in zip(lists, (vectors, other), strict=True):
        assert_same_neighbours(written, model.most_similar("king", topn=SHOWN))
    first, second = ([word for word, _ in written] for written in lists)
    both = set(first) & set(second)
    assert 0 < len(both) < SHOWN
    assert double.find("#overlap p").text == f"{len(both)} of {SHOWN} nearest neighbours are the same"
    for number, (mine, theirs) in enumerate([(first, second), (second, first)]):
        letter, their = "AB"[number], "BA"[number]
        notes = double.texts(f"#neighbours .column:nth-child({number + 1}) .note")
        for word, note in zip(mine, notes, strict=True):
            expected = f"also {theirs.index(word) + 1}" if word in theirs else f"◆ only in {letter}"
            assert note.startswith(expected)
            assert note.endswith(their if word in theirs else letter)
    assert double.js("explorer.maps.map((map) => map.choice.rows[0])") == [vectors.key_to_index["king"]] * 2


def test_the_words_that_two_models_differ_on(double, vectors, other):
    double.open()
    double.find("#tab-differences").click()
    rows = [restore(quantise(normalise_rows(model.vectors))) for model in (vectors, other)]
    shared = shared_neighbours(*rows, WORDS, SHOWN)
    order = np.argsort(shared, kind="stable")[:100]
    assert double.texts("#differences .word") == [vectors.index_to_key[row] for row in order]
    assert double.texts("#differences .value") == [f"{shared[row]} of {SHOWN}" for row in order]
    assert f"{shared.mean():.1f} of {SHOWN}" in double.find("#agreement").text
    double.find("input[value=agree]").click()
    most = int(np.argsort(-shared, kind="stable")[0])
    assert double.texts("#differences .word")[0] == vectors.index_to_key[most]
    double.find("#differences button").click()
    assert double.headword() == vectors.index_to_key[most]
    assert double.find("#overlap strong").text == f"{shared[most]} of {SHOWN}"
