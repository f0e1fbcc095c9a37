"""The fast reading of decimals against Python's own, and what it must leave to the slow way."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from w2v.vectors import decimals
from w2v.vectors.decimals import parse_decimals

single = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(st.lists(single, min_size=1, max_size=50), st.sampled_from([1, 20, 1 << 17]))
@settings(deadline=None)
def test_nine_digits_tell_every_float32(values, step):
    words = [f"{value:.9g}" if "." in f"{value:.9g}" else f"{value:.9e}" for value in values]
    decimals._STEP, old = step, decimals._STEP
    try:
        parsed = parse_decimals(" ".join(words).encode(), len(values))
    finally:
        decimals._STEP = old
    np.testing.assert_array_equal(parsed, np.array(values, np.float32))


layout = st.tuples(st.floats(-1e7, 1e7), st.sampled_from(["%.1f", "%.5f", "%.8f", "%.16f", "%r", "%.3e", "%.12E"]))


@given(st.lists(layout, min_size=1, max_size=30))
@settings(deadline=None)
def test_other_layouts_are_read_to_the_last_place(values):
    text = b" ".join((pattern % value).encode() for value, pattern in values)
    parsed = parse_decimals(text, len(values))
    if parsed is not None:
        wanted = np.array([float(word) for word in text.split()]).astype(np.float32)
        np.testing.assert_array_max_ulp(parsed, wanted, 1)


@given(st.lists(st.text("0123456789.-+eE_x\t", max_size=12), max_size=6))
@settings(max_examples=500, deadline=None)
def test_what_is_no_number_is_never_read_as_one(words):
    text = " ".join(words).encode()
    parsed = parse_decimals(text, len(words))
    if parsed is not None:
        wanted = np.array([float(word) for word in words]).astype(np.float32)
        np.testing.assert_array_max_ulp(parsed, wanted, 1)


@pytest.mark.parametrize(
    "value", ["0.5", "-0.5", ".5", "-.5", "5.", "12345678.5", "-0.0", "1.5e-7", "0.1234567890123456"]
)
def test_plain_decimals_are_read_the_fast_way(value):
    parsed = parse_decimals(f"1.25 {value} {value} -2.5".encode(), 4)
    np.testing.assert_array_equal(parsed, np.array([1.25, float(value), float(value), -2.5], np.float32))


@pytest.mark.parametrize(
    "text",
    [
        "1.0  2.0",
        " 1.0 2.0",
        "1.0 2.0 ",
        "1 2.0.0",
        "1.0.2 0",
        "--1.0 2.0",
        "1.0- 2.0",
        "1.0 .",
        "1.0 -.",
        "1.0 +2.0",
    ],
)
def test_the_rest_is_left_to_the_slow_way(text):
    assert parse_decimals(text.encode(), 2) is None


def test_the_number_of_numbers_is_checked():
    assert parse_decimals(b"1.0 2.0", 3) is None
    assert parse_decimals(b"1.0 2.0", 1) is None
