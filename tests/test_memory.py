"""What training takes of memory: stated, bounded, and told where it is not there."""

import numpy as np
import pytest

from w2v.corpus import CorpusOptions, count_words, passes, words
from w2v.corpus.passes import CountPass
from w2v.corpus.sources import find_sources
from w2v.corpus.words import Block, WordTable
from w2v.errors import CorpusError

MB = 1 << 20


# -- counting -------------------------------------------------------------------------------------------------------


def counted(path, max_words, monkeypatch, block=1 << 12, least_long=1 << 12, per_word=64):
    """A CountPass over the file, with the most that its table held: (pass, words, bytes of long words)."""
    monkeypatch.setattr(passes, "BLOCK_SIZE", block)
    monkeypatch.setattr(CountPass, "LEAST_LONG", least_long)
    monkeypatch.setattr(CountPass, "LONG_BYTES", per_word)
    counting = CountPass(find_sources([path]), None, max_words)
    most = [0, 0]
    place = counting._place

    def placed(text_block):
        most[0], most[1] = max(most[0], len(counting.table)), max(most[1], counting.table.long_bytes)
        place(text_block)

    counting._place = placed
    counting.run(2)
    return counting, *most


def test_long_rare_words_do_not_crowd_out_short_ones(tmp_path, monkeypatch):
    path = tmp_path / "text.txt"
    path.write_text("".join(f"{number:0500d} word{number % 100}\n" for number in range(1000)))
    counting, most_words, most_long = counted(path, 300, monkeypatch)
    assert counting.pruned
    assert most_long <= 64 * 300
    kept = dict(
        zip(counting.table.join(np.arange(len(counting.table))).decode().split(), counting.table.counts, strict=True)
    )
    assert all(kept[f"word{number}"] == 10 for number in range(100))


@pytest.mark.parametrize(("length", "words_met"), [(5, 20_000), (60, 5_000), (1000, 500), (10_000, 60)])
def test_max_vocab_size_bounds_words_and_the_bytes_of_long_ones(tmp_path, monkeypatch, length, words_met):
    path = tmp_path / "text.txt"
    rare = [f"{number:0{length}d}" for number in range(words_met)]
    path.write_text("".join(f"often {word} also often\n" for word in rare))
    counting, most_words, most_long = counted(path, 300, monkeypatch)
    assert counting.pruned
    assert most_words <= 300
    assert most_long <= 64 * 300
    # The table has room for a block's words beside those that are kept, and half as much again for growing.
    assert counting.table.nbytes < 2 * (32 + 8) * (300 + 2000) + 2 * (64 * 300 + (1 << 12) + 2 * length) + 65_536
    assert counting.raw_tokens == 4 * words_met
    vocabulary, totals = count_words([path], CorpusOptions(1, max_vocab_size=300))
    assert totals.raw_tokens == 4 * words_met
    assert dict(zip(vocabulary.words, vocabulary.counts.tolist(), strict=True))["often"] == 2 * words_met


def test_long_words_below_the_bound_are_all_kept(tmp_path, monkeypatch):
    path = tmp_path / "text.txt"
    path.write_text("\n".join(f"{number:0100d}" for number in range(150)))
    counting, most_words, most_long = counted(path, 300, monkeypatch)
    assert not counting.pruned
    assert (most_words, most_long) == (150, 15_000)


@pytest.mark.parametrize(
    ("bound", "long_bytes", "left"),
    [
        (5, 1000, ["a", "x", "y", "b", "c"]),
        (4, 1000, ["a", "x", "y", "b"]),
        (3, 1000, ["a", "x"]),  # b and y occur as often: they go together
        (4, 49, ["a", "x", "b"]),
        (4, 50, ["a", "x", "y", "b"]),
        (5, 19, ["a", "b", "c"]),
        (1, 1000, ["a"]),
        (9, 0, ["a", "b", "c"]),
    ],
)
def test_the_thresholds_are_the_least_that_fit(bound, long_bytes, left):
    spelled = {"x": "x" * 20, "y": "y" * 30}
    counts = {"a": 9, "x": 5, "y": 3, "b": 3, "c": 1}
    table = WordTable()
    table.add(Block.of("".join(f"{spelled.get(word, word)} " * count for word, count in counts.items()).encode()))
    table.prune(*table.thresholds_for(bound, long_bytes))
    kept = table.join(np.arange(len(table))).decode().split()
    assert sorted(kept) == sorted(spelled.get(word, word) for word in left)
    assert table.long_bytes == sum(len(word) for word in kept if len(word) > 16)


@pytest.mark.parametrize("refused", ["asked", "allocated"])
def test_too_many_words_for_the_memory_name_a_bound(tmp_path, monkeypatch, refused):
    path = tmp_path / "text.txt"
    path.write_text(" ".join(f"w{number}" for number in range(30_000)))
    monkeypatch.setattr(words, "_LARGE", MB // 4)
    if refused == "asked":
        monkeypatch.setattr(words, "available_memory", lambda: MB // 4)
    else:

        def refuse(*arguments):
            raise MemoryError

        monkeypatch.setattr(words.kernel, "fill_slots", refuse)
    with pytest.raises(CorpusError, match=r"bound them with --max-vocab-size \d+, or take a machine"):
        count_words([path], CorpusOptions(1))


def test_the_proposed_bound_is_round(monkeypatch):
    monkeypatch.setattr(words, "available_memory", lambda: 10)
    message = "for the 2,468,135 and more .* --max-vocab-size 1200000,"
    with pytest.raises(CorpusError, match=message), words.memory_reported(1 << 30, 2_468_135):
        pass
