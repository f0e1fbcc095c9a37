"""Model folders: what is written, how they are replaced, and what is never touched."""

import json

import numpy as np
import pytest

from w2v.errors import FormatError, OutputError
from w2v.vectors import KeyedVectors, load_vectors, save_vectors
from w2v.vectors.files import check_output
from w2v.vectors.folder import load_model_folder, save_model_folder

WORDS = ["the", "of", "naïve"]
COUNTS = np.array([9, 5, 2])
ROWS = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
CONFIG = {"model": "skipgram", "objective": "ns", "vector_size": 4, "sample": 1e-3, "lowercase": False}
TRAINING = {"seconds": {"train": 1.5, "total": 2.0}, "loss": [2.5, np.float32(2.25)], "device": "cpu", "pairs": 7}


def save(path, seed=0, **changes):
    rows = np.random.default_rng(seed).normal(size=(3, 4)).astype(np.float32)
    values = {
        "config": CONFIG, "words": WORDS, "counts": COUNTS, "input_vectors": rows,
        "output_parameters": {"output_vectors": rows * 2, "path_lengths": np.arange(3, dtype=np.int32)},
        "training": TRAINING,
    }  # fmt: skip
    save_model_folder(path, **{**values, **changes})


def contents(path):
    return {entry.name: entry.read_bytes() for entry in path.iterdir()}


@pytest.mark.parametrize("mmap", [True, False])
def test_a_folder_comes_back_as_it_was(tmp_path, mmap):
    save(tmp_path / "model")
    folder = load_model_folder(tmp_path / "model", mmap=mmap)
    assert folder.config == CONFIG
    assert folder.training == {**TRAINING, "loss": [2.5, 2.25]}
    assert folder.words == WORDS
    np.testing.assert_array_equal(folder.counts, COUNTS)
    np.testing.assert_array_equal(folder.input_vectors, ROWS)
    assert sorted(folder.output_parameters) == ["output_vectors", "path_lengths"]
    np.testing.assert_array_equal(folder.output_parameters["output_vectors"], ROWS * 2)
    assert folder.output_parameters["path_lengths"].dtype == np.int32
    assert isinstance(folder.input_vectors.base, np.memmap) == mmap


def test_the_files_are_those_of_the_contract(tmp_path):
    save(tmp_path / "model")
    files = contents(tmp_path / "model")
    assert sorted(files) == [
        "README.md", "config.json", "input_vectors.npy", "output_vectors.npy", "path_lengths.npy",
        "training.json", "vocabulary.tsv",
    ]  # fmt: skip
    assert files["vocabulary.tsv"].decode() == "the\t9\nof\t5\nnaïve\t2\n"
    assert json.loads(files["config.json"])["objective"] == "ns"
    assert json.loads(files["training.json"])["seconds"]["train"] == 1.5
    array = np.load(tmp_path / "model" / "input_vectors.npy", allow_pickle=False)
    np.testing.assert_array_equal(array, ROWS)
    card = files["README.md"].decode()
    for text in ("3 word vectors of 4 dimensions, trained with skipgram, ns", "| sample | 0.001 |", "2.25", "occurs"):
        assert text in card


def test_the_training_record_may_be_made_late(tmp_path):
    seen = []

    def record():
        seen.append([entry.name for entry in tmp_path.rglob("*.npy")])
        return TRAINING

    save(tmp_path / "model", training=record)
    assert len(seen[0]) == 3
    assert load_model_folder(tmp_path / "model").training["pairs"] == 7


def test_changes_to_mapped_vectors_stay_in_memory(tmp_path):
    save(tmp_path / "model")
    before = contents(tmp_path / "model")
    vectors = KeyedVectors.load(tmp_path / "model")
    vectors.vectors += 1
    np.testing.assert_allclose(vectors["the"], ROWS[0] + 1)
    assert contents(tmp_path / "model") == before
    with pytest.raises(ValueError, match="read-only"):
        KeyedVectors.load(tmp_path / "model", mmap="r").vectors[0] = 1
    KeyedVectors.load(tmp_path / "model", mmap=None).vectors[0] = 1


def test_a_loaded_model_survives_its_replacement(tmp_path):
    save(tmp_path / "model")
    vectors = load_vectors(tmp_path / "model")
    vectors.save(tmp_path / "model")
    save(tmp_path / "model", seed=1)
    np.testing.assert_array_equal(vectors.vectors, ROWS)


def test_replacing_leaves_no_old_file_behind(tmp_path):
    save(tmp_path / "model")
    save(tmp_path / "model", seed=1, output_parameters={"node_vectors": ROWS[:2]})
    assert sorted(load_model_folder(tmp_path / "model").output_parameters) == ["node_vectors"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_a_link_to_a_model_stays_a_link(tmp_path):
    save(tmp_path / "model")
    link = tmp_path / "link"
    try:
        link.symlink_to(tmp_path / "model", target_is_directory=True)
    except OSError:
        pytest.skip("this system allows no links")
    save(link, seed=1)
    assert link.is_symlink()
    np.testing.assert_array_equal(load_vectors(link).vectors, load_vectors(tmp_path / "model").vectors)
    assert not np.array_equal(load_vectors(link).vectors, ROWS)


@pytest.mark.parametrize("strange", ["other folder", "file", "extra file", "extra folder", "damaged configuration"])
def test_what_is_not_ours_is_never_replaced(tmp_path, strange):
    path = tmp_path / "model"
    if strange == "file":
        path.write_text("precious", "utf-8")
    elif strange == "other folder":
        path.mkdir()
        (path / "config.json").write_text('{"format": "something else"}', "utf-8")
    else:
        save(path)
        if strange == "extra file":
            (path / "notes.txt").write_text("precious", "utf-8")
        elif strange == "extra folder":
            (path / "more").mkdir()
        else:
            (path / "config.json").write_text("{", "utf-8")
    before = sorted(str(entry) for entry in tmp_path.rglob("*"))
    for attempt in (save, check_output, load_and_save):
        with pytest.raises(OutputError, match="choose another output"):
            attempt(path)
    assert sorted(str(entry) for entry in tmp_path.rglob("*")) == before


def load_and_save(path):
    save_vectors(path, KeyedVectors.from_arrays(WORDS, ROWS))


def test_an_empty_folder_and_new_parents_are_fine(tmp_path):
    (tmp_path / "model").mkdir()
    check_output(tmp_path / "model")
    save(tmp_path / "model")
    check_output(tmp_path / "a" / "b" / "model")
    save(tmp_path / "a" / "b" / "model")
    assert load_model_folder(tmp_path / "a" / "b" / "model").words == WORDS


@pytest.mark.parametrize("step", ["os.fsync", "os.rename", "os.fsync late"])
def test_a_failure_while_writing_leaves_the_old_model(tmp_path, monkeypatch, step):
    save(tmp_path / "model")
    before = contents(tmp_path / "model")
    from w2v import atomic

    name = step.split()[0].removeprefix("os.")
    original, calls = getattr(atomic.os, name), []

    def fail(*arguments):
        calls.append(arguments)
        # The second rename is the one that brings the new folder in; the third puts the old one back.
        if (name == "rename" and len(calls) == 2) or (name == "fsync" and len(calls) == (5 if "late" in step else 1)):
            raise OSError(28, "No space left on device")
        return original(*arguments)

    monkeypatch.setattr(atomic.os, name, fail)
    # As where the system has no way to let two names change places: two renames are needed.
    monkeypatch.setattr(atomic, "_exchange", lambda first, second: False)
    with pytest.raises(OutputError, match="No space left"):
        save(tmp_path / "model", seed=1)
    assert contents(tmp_path / "model") == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_an_interruption_leaves_the_old_model(tmp_path, monkeypatch):
    save(tmp_path / "model")
    before = contents(tmp_path / "model")

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("w2v.vectors.folder.write_vocabulary", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path / "model", seed=1)
    assert contents(tmp_path / "model") == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_words_with_white_space_survive_but_for_line_ends(tmp_path):
    words = ["a b", "c\td", "e\nf", "", "g\r"]
    vectors = KeyedVectors.from_arrays(words, np.eye(5, dtype=np.float32))
    with pytest.warns(UserWarning, match="1 words"):
        vectors.save(tmp_path / "model")
    loaded = load_vectors(tmp_path / "model")
    assert loaded.index_to_key == ["a b", "c\td", "e▁f", "", "g\r"]
    assert loaded.counts is None
    assert "rank in place of a count" in (tmp_path / "model" / "README.md").read_text("utf-8")


@pytest.mark.parametrize("changes", [{"words": WORDS[:2]}, {"counts": COUNTS[:2]}, {"input_vectors": ROWS[0]}])
def test_sizes_that_do_not_match_are_refused(tmp_path, changes):
    with pytest.raises(FormatError, match="do not match"):
        save(tmp_path / "model", **changes)
    assert not list(tmp_path.iterdir())


def test_a_later_version_is_refused(tmp_path):
    save(tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    config.write_text(config.read_text("utf-8").replace('"format_version": 1', '"format_version": 2'), "utf-8")
    with pytest.raises(FormatError, match="version 2 is unknown: use a newer w2v"):
        load_model_folder(tmp_path / "model")
