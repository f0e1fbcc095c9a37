"""The cost model: its formula, its fit to timings, its file, and the timing of a grid."""

import json

import numpy as np
import pytest
from cost_cases import KnownTimer, known_model, timings

from w2v.cost import CostModel, Measurement, builtin, fit, load_cost_model, measure
from w2v.cost.measure import FEWEST, INPUTS, MOST_LOGITS, grid
from w2v.errors import ConfigError, FormatError, OutputError

COEFFICIENTS = ("c", "alpha", "beta", "gamma", "delta", "threshold")


def fitted(measurements):
    return fit(measurements, device="cpu (test)", versions={"numpy": "2"}, reference_size=100)


def test_the_formula_by_hand():
    model = known_model(c=1.0, alpha=2.0, beta=3.0, gamma=5.0, delta=7.0, threshold=50.0)
    # 4 columns, 20 inputs, 10 dims: 80 products, above the floor of 50.
    assert model.block_seconds(4, 20, 10) == 1 + (2 + 30) * 80 + 5 * 40 + 7 * 200
    assert model.block_seconds(2, 20, 10) == 1 + (2 + 30) * 50 + 5 * 20 + 7 * 200
    assert model.projection_seconds(20, 10, 100) == 3 * 20 * 100 * 10 + 5 * 100 * 10
    assert model.reference_slope == 2 + 3 * 100
    assert model.reference_columns * model.reference_inputs == pytest.approx(50)


def test_seconds_broadcast_and_rise_with_every_argument():
    model = known_model()
    k, b, d = (
        np.array([1, 10, 100, 1000, 10**5]),
        np.array([[1], [30], [900], [10**4]]),
        np.array([[[4]], [[64]], [[100]]]),
    )
    seconds = model.block_seconds(k, b, d)
    assert seconds.shape == (3, 4, 5)
    for axis in range(3):
        assert (np.diff(seconds, axis=axis) >= 0).all()


def test_exact_timings_give_the_coefficients_back():
    model = fitted(timings(known_model()))
    for name in COEFFICIENTS:
        assert getattr(model, name) == pytest.approx(getattr(known_model(), name), rel=0.02), name
    assert model.error_p90 < 0.01
    assert model.reference_inputs == 256
    assert model.device == "cpu (test)"
    assert len(model.measurements) == 90


@pytest.mark.parametrize("seed", range(4))
def test_noisy_timings_give_about_the_coefficients_back(seed):
    known = known_model(threshold=200_000.0)
    model = fitted(timings(known, noise=0.1, seed=seed))
    assert model.c + model.alpha * model.threshold == pytest.approx(known.c + known.alpha * known.threshold, rel=0.2)
    assert model.reference_slope == pytest.approx(known.reference_slope, rel=0.1)
    assert model.slope(16) == pytest.approx(known.slope(16), rel=0.15)
    assert model.threshold == pytest.approx(known.threshold, rel=0.5)
    k, b, d = np.array([3000, 20_000]), np.array([[50], [2000]]), np.array([[[20]], [[80]]])
    np.testing.assert_allclose(model.block_seconds(k, b, d), known.block_seconds(k, b, d), rtol=0.12)
    # |error| of a normal of 0.1 has median 0.067 and 90th percentile 0.164.
    assert 0.04 < model.error_median < 0.09
    assert 0.1 < model.error_p90 < 0.22


def test_wild_timings_do_not_move_the_fit_but_show_in_the_error():
    points = timings(known_model(), noise=0.02)
    wild = [
        Measurement(p.columns, p.inputs, p.size, p.seconds * (20 if n % 8 == 0 else 1)) for n, p in enumerate(points)
    ]
    calm, disturbed = fitted(points), fitted(wild)
    shapes = np.array([100, 10_000]), np.array([[100], [3000]]), 50
    np.testing.assert_allclose(disturbed.block_seconds(*shapes), calm.block_seconds(*shapes), rtol=0.03)
    assert disturbed.error_median < 0.05
    assert disturbed.error_p90 > 0.5


def test_coefficients_are_never_negative_where_a_term_is_missing():
    model = fitted(timings(known_model(c=0.0, gamma=0.0, delta=0.0, threshold=0.0), noise=0.2, seed=5))
    assert min(getattr(model, name) for name in COEFFICIENTS) >= 0
    assert model.threshold < 10_000


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_timings_that_are_no_times_are_refused(seconds):
    with pytest.raises(ConfigError, match="not a positive number: calibrate again"):
        fitted([*timings(known_model()), Measurement(8, 8, 8, seconds)])


def test_too_few_timings_are_refused():
    for points in ([], timings(known_model())[:9], timings(known_model(), sizes=(100,))):
        with pytest.raises(ConfigError, match=f"{len(points)} timings are too few"):
            fitted(points)


def test_json_round_trip_and_what_readers_find(tmp_path):
    path = tmp_path / "cost.json"
    path.write_text("old")
    model = fitted(timings(known_model(), noise=0.05))
    model.to_json(path)
    assert CostModel.from_json(path) == model
    document = json.loads(path.read_text("utf-8"))
    assert document["lambda"] == model.reference_slope
    assert document["k0"] * document["B0"] == pytest.approx(model.threshold)
    assert document["error_p90"] == model.error_p90
    builtin("cuda").to_json(path)
    assert CostModel.from_json(path) == builtin("cuda")
    with pytest.raises(OutputError):
        model.to_json(tmp_path / "missing" / "cost.json")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": "other"}, "is no cost model"),
        ({"format_version": 99}, "another version of w2v"),
        ({"c": None}, "c is None"),
        ({"beta": -1e-9}, "beta is -1e-09"),
        ({"alpha": float("nan")}, "alpha is nan"),
        ({"gamma": True}, "gamma is True"),
        ({"threshold": "1"}, "threshold is '1'"),
        ({"reference_inputs": 0}, "reference_inputs is 0"),
        ({"reference_size": 1.5}, "reference_size is 1.5"),
        ({"error_median": float("inf")}, "error_median is inf"),
        ({"device": "tpu"}, "neither cpu nor cuda"),
        ({"device": 3}, "device is 3"),
        ({"versions": {"numpy": 2}}, "versions is 2"),
        ({"versions": []}, "versions is"),
        ({"measurements": [[1, 2, 3]]}, "damaged"),
        ({"measurements": 7}, "damaged"),
        (dict.fromkeys(COEFFICIENTS, 0), "all coefficients are zero"),
    ],
)
def test_damaged_files_are_named(tmp_path, change, reason):
    path = tmp_path / "cost.json"
    builtin("cpu").to_json(path)
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **change}), "utf-8")
    with pytest.raises(FormatError, match=reason) as raised:
        CostModel.from_json(path)
    assert str(path) in str(raised.value)
    assert "w2v calibrate" in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null", b'{"format": "w2v cost model"}'])
def test_files_that_are_something_else_are_named(tmp_path, content):
    path = tmp_path / "cost.json"
    path.write_bytes(content)
    with pytest.raises(FormatError, match="cost.json") as raised:
        CostModel.from_json(path)
    # The file may be a text of the user's.
    if b"w2v cost model" not in content:
        assert f"-o {path}" not in str(raised.value)


def test_every_value_of_a_file_is_needed(tmp_path):
    path = tmp_path / "cost.json"
    builtin("cpu").to_json(path)
    document = json.loads(path.read_text("utf-8"))
    for name in set(document) - {"format", "format_version", "formula", "lambda", "k0", "B0"}:
        path.write_text(json.dumps({key: value for key, value in document.items() if key != name}), "utf-8")
        with pytest.raises(FormatError, match=f"{name} is missing"):
            CostModel.from_json(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FormatError, match=r"cannot read the cost model .*gone\.json: No such file"):
        load_cost_model(tmp_path / "gone.json", "cpu")


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_without_a_file_the_built_in_model_is_used_and_said_so(device):
    model, note = load_cost_model(None, device)
    assert model is builtin(device)
    assert model.device_class == device
    assert f"the built-in one for {device}" in note
    assert model.source in note
    assert "w2v calibrate -o" in note
    assert ("not measured" in note) == (device == "cuda")


def test_there_is_no_built_in_model_for_other_devices():
    with pytest.raises(ConfigError, match="use cpu or cuda"):
        builtin("tpu")


def test_a_file_of_the_other_class_of_device_is_said_so(tmp_path):
    path = tmp_path / "cost.json"
    known_model("cuda (some GPU)").to_json(path)
    model, note = load_cost_model(path, "cuda")
    assert model == known_model("cuda (some GPU)")
    assert note == f"cost model: {path}, measured on cuda (some GPU)"
    assert "runs on cpu" in load_cost_model(path, "cpu")[1]


@pytest.mark.parametrize("size", [2, 10, 16, 17, 50, 100, 300, 1000])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_grid_can_be_fitted_and_rises_in_work(size, device):
    shapes = grid(size, device)
    assert len(set(shapes)) == len(shapes) >= 2 * FEWEST
    assert {d for _, _, d in shapes} >= ({size, 16} if size > 16 else {size})
    assert max(k * b for k, b, _ in shapes) <= MOST_LOGITS
    model = known_model()
    found = fit(
        [Measurement(*shape, float(model.block_seconds(*shape))) for shape in shapes[:FEWEST]],
        device=device, versions={}, reference_size=size,
    )  # fmt: skip
    assert found.error_p90 < 0.05
    assert found.reference_inputs in INPUTS[device]


def test_measuring_times_the_whole_grid_and_tells_how_far_it_is():
    timer, told = KnownTimer(known_model()), []
    found = measure(timer, 100, progress=lambda done, total: told.append((done, total)))
    shapes = grid(100, "cpu")
    assert timer.asked == shapes * 2
    assert [(m.columns, m.inputs, m.size) for m in found] == shapes
    assert told == [
        *((done, len(shapes)) for done in range(len(shapes) + 1)),
        *((done, 2 * len(shapes)) for done in range(len(shapes) + 1, 2 * len(shapes) + 1)),
    ]
    assert fitted(found).reference_slope == pytest.approx(known_model().reference_slope, rel=0.02)


class SlowTimer(KnownTimer):
    """A timer on a clock of its own: every block takes ten times its own seconds, and a twentieth of a second."""

    now = 0.0

    def block_seconds(self, columns, inputs, size):
        seconds = super().block_seconds(columns, inputs, size)
        self.now += 10 * seconds + 0.05
        return seconds


class BusyTimer(KnownTimer):
    """A timer on a machine that is three times as slow in one of the two passes: now the first, now the second."""

    def block_seconds(self, columns, inputs, size):
        shape = (columns, inputs, size)
        slow = (shape in self.asked) == (columns > 1000)
        return super().block_seconds(*shape) * (3 if slow else 1)


def test_the_shorter_of_two_times_counts():
    for point in measure(BusyTimer(known_model()), 100):
        assert point.seconds == known_model().block_seconds(point.columns, point.inputs, point.size)


def test_measuring_stops_before_the_budget_is_spent():
    timer = SlowTimer(known_model())
    found = measure(timer, 100, budget=20.0, clock=lambda: timer.now)
    assert FEWEST < len(found) < len(grid(100, "cpu"))
    assert 5.0 < timer.now <= 20.0


def test_however_slow_a_device_is_enough_is_measured_for_a_fit():
    timer = SlowTimer(known_model(alpha=1.0))
    found = measure(timer, 100, budget=1.0, clock=lambda: timer.now)
    assert len(found) == FEWEST
    assert fitted(found).alpha == pytest.approx(1.0, rel=0.05)
