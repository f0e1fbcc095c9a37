"""Files that once broke a reader, and files that were made to: (name, reader of fuzz_targets, bytes)."""

import gzip
import io
import json
import struct
import zipfile

import numpy as np

_META = {
    "format": "w2v encoded corpus", "layout": 1, "words": 6,
    "totals": {"length": 9, "tokens": 7, "sentences": 2, "raw_tokens": 9, "bad_bytes": 0, "fingerprint": "0" * 32},
    "inputs": [], "options": {},
}  # fmt: skip
_COST = {
    "format": "w2v cost model", "format_version": 1, "device": "cpu", "c": 1e-5, "alpha": 1e-9, "beta": 1e-11,
    "gamma": 1e-9, "delta": 1e-9, "threshold": 0, "reference_inputs": 256, "reference_size": 100,
    "error_median": None, "error_p90": None, "created": "", "versions": {}, "source": "", "measurements": [],
}  # fmt: skip
_CONFIG = {"format": "w2v-model", "format_version": 1}


def _json(*parts: dict) -> bytes:
    return json.dumps({name: value for part in parts for name, value in part.items()}).encode()


def _deep(levels: int) -> list:
    value: list = []
    for _ in range(levels):
        value = [value]
    return value


def npy(shape: str, kind: str = "'<f4'", data: bytes = b"") -> bytes:
    """A .npy file with that header."""
    text = b"{'descr': %b, 'fortran_order': False, 'shape': %b, }\n" % (kind.encode(), shape.encode())
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def safetensors(header: dict, data: bytes = b"") -> bytes:
    """A .safetensors file with that header."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def _word_ends(*ends: int) -> bytes:
    """Vectors of zeros and words that end at ``ends`` of the text ``abcd``."""
    count = len(ends)
    data = bytes(4 * count) + b"abcd" + struct.pack(f"<{count}q", *ends)
    start, text = 4 * count, 4 * count + 4
    return safetensors(
        {
            "input_vectors": {"dtype": "F32", "shape": [count, 1], "data_offsets": [0, start]},
            "words": {"dtype": "U8", "shape": [4], "data_offsets": [start, text]},
            "word_ends": {"dtype": "I64", "shape": [count], "data_offsets": [text, len(data)]},
        },
        data,
    )


_DEFLATED = zipfile.ZIP_DEFLATED


def _npz(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def _saved(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def _pickled() -> bytes:
    """An .npy file whose objects would make a folder when they are unpickled."""

    class Harm:
        def __reduce__(self) -> tuple:
            import os

            return os.mkdir, ("harm",)

    stream = io.BytesIO()
    np.save(stream, np.array([[Harm()] * 3] * 6, object), allow_pickle=True)
    return stream.getvalue()


# Of each the reader raises an error of one line.
REFUSED = [
    ("counts beside vectors that are no UTF-8", "counts", b"the 9\xff\xff 5\n"),
    ("counts that add up to more than 63 bits", "saved-vocabulary", b"a\t%d\nb\t%d\n" % (2**63 - 1, 2**63 - 1)),
    ("counts of a folder that overflow", "vocabulary", b"".join(b"%d\t%d\n" % (n, 2**62) for n in range(6))),
    ("a total that is a text", "encoded-meta", _json(_META, {"totals": {**_META["totals"], "tokens": "\x1b[2J"}})),
    ("a total that is a list", "encoded-meta", _json(_META, {"totals": {**_META["totals"], "sentences": []}})),
    ("a total with a line break in its name", "encoded-meta", _json(_META, {"totals": {"length": 9, "a\nb": 1}})),
    ("a description nested too deep", "encoded-meta", b"[" * 100_000),
    ("words that never occur", "encoded-vocabulary", b"".join(b"%d\t0\n" % n for n in range(6))),
    ("sizes whose product no machine can hold", "any-array", npy(f"({2**40}, {2**40}, 0)")),
    ("a hundred dimensions", "any-array", npy(f"({'1, ' * 100})", data=bytes(4))),
    ("a header that only an expression could read", "any-array", npy("(3 - 2, 1)", data=bytes(4))),
    ("a header of signs, deep for Python's parser", "any-array", npy("(" + "-" * 9000 + "1,)")),
    ("a header that never closes", "any-array", npy("(" * 9000)),
    ("a header twice of one name", "any-array", npy("(1,), 'shape': (2,)", data=bytes(4))),
    ("10^12 rows", "array", npy("(1000000000000, 3)")),
    ("a pickle in an array", "array", _pickled()),
    ("structures in an array", "any-array", npy("(1,)", "[('a', '<f4')]", bytes(4))),
    ("10^12 rows of text", "text", b"1000000000000 3\na 1 2 3\n"),
    ("10^12 rows of binary", "binary", b"1000000000000 3\na " + bytes(12)),
    ("10^12 dimensions", "binary", b"1 1000000000000\na " + bytes(12)),
    ("10^12 rows, compressed", "compressed", gzip.compress(b"1000000000000 3\na 1 2 3\n", mtime=0)),
    (
        "10^12 rows of safetensors",
        "safetensors",
        safetensors({"input_vectors": {"dtype": "F32", "shape": [10**12, 3], "data_offsets": [0, 12 * 10**12]}}),
    ),
    ("ends of words whose differences wrap", "safetensors", _word_ends(2**63 - 1, -(2**63), 2**63 - 1, -(2**63), 4)),
    ("a tensor whose name is long", "safetensors", safetensors({"a" * 3000: {"dtype": "F99"}})),
    ("a coefficient beyond floats", "cost-model", _json(_COST, {"alpha": 10**400})),
    ("a batch beyond floats", "cost-model", _json(_COST, {"reference_inputs": 10**400})),
    ("a cost model nested too deep", "cost-model", b"[" * 100_000),
    ("versions nested too deep", "cost-model", _json(_COST, {"versions": {"a": _deep(500)}})),
    ("a configuration nested too deep", "config", _json(_CONFIG, {"a": _deep(500)})),
    ("a training record nested too deep", "training", _json({"a": _deep(500)})),
    ("a number of thousands of digits", "training", b'{"a": 1' + b"0" * 4200 + b"}"),
    ("a long value of an option", "config-adaptive", _json(_CONFIG, {"model": "a" * 3000})),
    ("a long version", "config", _json(_CONFIG, {"format_version": "a" * 3000})),
    ("a trillion planned runs", "comparison", None),
    ("a point at minus 10^18 seconds", "comparison", None),
    ("a record nested too deep", "comparison", b"[" * 100_000),
    ("a long name of a layout", "export-mark", _json({"format": "w2v-export", "layout": "a" * 3000, "files": []})),
    ("a layout of two lines", "export-mark", _json({"format": "w2v-export", "layout": "a\nb", "files": []})),
]
# Of each the reader makes what can be made of it.
READ = [
    ("half a pair of UTF-16 in a training record, which is printed", "training", b'{"device": "\\ud800"}'),
    ("half a pair of UTF-16 in the settings of a run", "comparison", None),
    ("an index that is described by a list", "index", _npz({"description.npy": _saved(np.frombuffer(b"[1]", "u1"))})),
    ("an index that is larger inside", "index", _npz({"a.npy": npy("(9999,)", data=bytes(39996))}, _DEFLATED)),
    ("an index of pickles", "index", _npz({"description.npy": _pickled()})),
    ("no index", "index", b"PK\x03\x04"),
]  # fmt: skip
