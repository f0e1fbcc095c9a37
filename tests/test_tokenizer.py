"""The tokenizer's kernels against bytes.split, Counter and bytes.decode."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from w2v.kernels import tokenizer as kernel

from w2v.corpus.words import Block, WordTable, join_unknown, renumber, without_first_mark

SPACES = [b" ", b"\n", b"\t", b"\r", b"\x0b", b"\x0c"]
# Few distinct words, so that they repeat; lengths on both sides of 8, 16 and of the end of a block's last word.
WORD = st.one_of(
    st.sampled_from([b"a", b"b", b"a\0", b"\0", b"\0\0", b"\xff", b"\x1c", b"\x85", b"\xc2\xa0", b"abcdefgh"]),
    st.integers(1, 40).map(lambda length: b"x" * length),
    st.integers(1, 40).map(lambda length: b"x" * (length - 1) + b"y"),
    st.binary(min_size=1, max_size=24),
)
TEXT = st.lists(st.one_of(WORD, st.sampled_from(SPACES), st.sampled_from(SPACES).map(lambda s: s * 3))).map(b"".join)


def closed(text: bytes) -> bytes:
    """What the reader makes of a source: its last line is ended."""
    return text if text.endswith(b"\n") or not text else text + b"\n"


def expected_ids(text: bytes) -> list[bytes | None]:
    """Words and marks (None) by the plain definition: a mark after each line that holds a word, and one at the
    start where the text begins with a line end: the caller's open sentence."""
    found = []
    for line in text.split(b"\n")[:-1]:
        found += line.split()
        if not found or found[-1] is not None:
            found.append(None)
    return found


def words_of(block: Block) -> list[bytes | None]:
    """The block's ids as words, through a word table."""
    table = WordTable(1, 2)
    table.add(block)
    words = table.join(np.arange(len(table))).split(b"\n")
    return [None if number < 0 else words[block.mapping[number]] for number in block.ids]


@given(TEXT)
@settings(max_examples=400, deadline=None)
def test_tokens_are_those_of_bytes_split(text):
    block = Block.of(closed(text))
    assert words_of(block) == expected_ids(closed(text))
    assert [word for word in words_of(block) if word is not None] == text.split()


@pytest.mark.parametrize("length", [*range(1, 40), 63, 64, 65, 127, 128, 129, 4095, 4096, 4097, 9000])
@pytest.mark.parametrize("lead", [0, 1, 7, 62, 63, 64, 4090, 4095, 4096])
def test_a_token_is_whole_wherever_it_lies(length, lead):
    word = bytes(33 + (n * 7 + length) % 90 for n in range(length))
    text = b" " * lead + word + b" tail\n\n" + word + b"\r\n"
    assert words_of(Block.of(text)) == expected_ids(text)


def test_a_nul_is_part_of_a_word():
    words = [b"a", b"a\0", b"a\0\0", b"\0", b"\0\0", b"a" * 16, b"a" * 16 + b"\0", b"a" * 8, b"a" * 8 + b"\0"]
    block = Block.of(b" ".join(words) + b"\n")
    assert block.words == len(words)
    assert words_of(block) == [*words, None]


@given(TEXT)
@settings(max_examples=100, deadline=None)
def test_tables_grow_without_losing_a_word(text):
    block = Block(len(text) + 1, slots=2)
    block.buffer[: len(text) + 1] = text + b"\n"
    block.buffer[len(text) + 1 :] = b" " * kernel.PADDING
    block.length = len(text) + 1
    block.tokenize()
    table = WordTable(1, 2)
    table.add(block)
    counts = dict(zip(table.join(np.arange(len(table))).split(b"\n"), table.counts.tolist(), strict=False))
    assert counts == Counter(text.split())
    assert len(block.table) & (len(block.table) - 1) == 0
    assert block.words <= len(block.table) // 2


@given(st.lists(TEXT, max_size=6))
@settings(max_examples=100, deadline=None)
def test_counts_of_merged_blocks_are_a_counters(texts):
    table = WordTable(1, 2)
    for text in texts:
        table.add(Block.of(text + b"\n"))
    words = table.join(np.arange(len(table))).split(b"\n")[:-1]
    assert dict(zip(words, table.counts.tolist(), strict=True)) == Counter(b" ".join(texts).split())


@given(st.lists(TEXT, min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_order_is_falling_counts_then_bytes(texts):
    table = WordTable()
    for text in texts:
        table.add(Block.of(text + b"\n"))
    counter = Counter(b" ".join(texts).split())
    rows = table.order(np.arange(len(table)))
    assert table.join(rows).split(b"\n")[:-1] == sorted(counter, key=lambda word: (-counter[word], word))


def test_order_of_long_words_that_share_their_start():
    words = [b"http://example.com/" + bytes([97 + n % 7, 97 + n % 11, 97 + n % 13]) * (1 + n % 3) for n in range(300)]
    words += [b"http://example.c", b"http://example.co", b"http://example.com/"]
    table = WordTable()
    table.add(Block.of(b" ".join(dict.fromkeys(words)) + b"\n"))
    assert table.join(table.order(np.arange(len(table)))).split(b"\n")[:-1] == sorted(set(words))


@given(st.lists(st.binary(max_size=24), max_size=8))
@settings(max_examples=400, deadline=None)
def test_bad_bytes_are_those_that_decode_refuses(parts):
    text = b" ".join(parts) + b"\n"
    table = WordTable()
    table.add(Block.of(text))
    assert table.bad_bytes() == sum(count_bad(word) for word in text.split())


@pytest.mark.parametrize(
    "word",
    [
        *(b"\xc0\x80", b"\xc1\xbf", b"\xe0\x80\x80", b"\xe0\x9f\xbf", b"\xed\xa0\x80", b"\xed\xbf\xbf"),
        *(b"\xf0\x80\x80\x80", b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80"),
        *(b"\xe2\x82", b"\xf0\x9f\x98", b"\x80", b"a\xff"),
        *(
            text.encode()
            for text in ("é", "\ud7ff", "\ue000", "\uffff", "\U00010000", "\U0010ffff", "한국어낱말" * 3)
        ),
    ],
)
def test_bad_bytes_at_the_borders_of_utf8(word):
    table = WordTable()
    table.add(Block.of(word + b" ok " + word + b"\n"))
    assert table.bad_bytes() == 2 * count_bad(word)


def count_bad(word: bytes) -> int:
    """Bytes that the strict decoder refuses, by asking it again and again."""
    bad = 0
    while True:
        try:
            word.decode()
            return bad
        except UnicodeDecodeError as error:
            bad += error.end - error.start
            word = word[: error.start] + b"." + word[error.end :]


@given(TEXT, TEXT)
@settings(max_examples=100, deadline=None)
def test_look_up_finds_what_is_there_and_lists_the_rest(known, text):
    table = WordTable()
    table.add(Block.of(known + b"\n"))
    words = table.join(np.arange(len(table))).split(b"\n")
    before = table.counts.copy()
    block = Block.of(text + b"\n")
    unknown = table.look_up(block)
    found = [words[block.mapping[n]] if block.mapping[n] >= 0 else None for n in block.ids if n >= 0]
    assert found == [word if word in words[:-1] else None for word in text.split()]
    missed = Counter(word for word in text.split() if word not in words[:-1])
    listed = zip(join_unknown(block, unknown).split(b"\n")[:-1], unknown[:, 2].tolist(), strict=True)
    assert dict(listed) == missed
    assert np.array_equal(table.counts, before)


@given(TEXT, st.integers(0, 5))
@settings(max_examples=100, deadline=None)
def test_prune_keeps_what_is_above_the_threshold(text, above):
    table = WordTable(1, 2)
    table.add(Block.of(text + b"\n"))
    table.prune(above)
    kept = {word: count for word, count in Counter(text.split()).items() if count > above}
    words = table.join(np.arange(len(table))).split(b"\n")[:-1]
    assert dict(zip(words, table.counts.tolist(), strict=True)) == kept
    # The table is whole: the same text again finds the kept rows and adds the others.
    table.add(Block.of(text + b"\n"))
    words = table.join(np.arange(len(table))).split(b"\n")[:-1]
    expected = {word: count + kept.get(word, 0) for word, count in Counter(text.split()).items()}
    assert dict(zip(words, table.counts.tolist(), strict=True)) == expected


def plain_renumber(ids, final):
    """Renumbering by its definition."""
    out = []
    for number in ids:
        if number == -1:
            if not out or out[-1] != -1:
                out.append(-1)
        elif final[number] >= 0:
            out.append(int(final[number]))
    return out


@given(st.lists(st.integers(-1, 5)), st.lists(st.integers(-2, 9), min_size=6, max_size=6))
@settings(max_examples=200, deadline=None)
def test_renumber_against_its_definition(ids, final):
    final = np.array([-2 if number < 0 else number for number in final], np.int32)
    numbers = np.array(ids, np.int32)
    length, tokens, marks, digest = renumber(numbers, final)
    expected = plain_renumber(ids, final)
    assert numbers[:length].tolist() == expected
    assert marks == expected.count(-1)
    assert tokens == len(expected) - marks
    again = 0
    for number in expected:
        again = (again * kernel.HASH_MULTIPLIER + int(kernel.content_term(number))) % 2**64
    assert digest == again
    if expected and expected[0] == -1:
        rest, rest_digest = without_first_mark(numbers[:length], digest)
        identity = np.arange(10, dtype=np.int32)
        assert renumber(rest.copy(), identity)[3] == rest_digest


def test_content_hash_tells_order_and_length_apart():
    identity = np.arange(4, dtype=np.int32)
    digests = [
        renumber(np.array(ids, np.int32), identity)[3]
        for ids in ([0, 1, -1], [1, 0, -1], [0, -1, 1], [0, 1], [0, 0, 1, -1], [0, 1, -1, 0])
    ]
    assert len(set(digests)) == len(digests)
