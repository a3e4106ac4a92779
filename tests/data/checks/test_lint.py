import numpy as np
import pytest

from dst_jax.data.checks.lint import (
    BoxFilter,
    DataFault,
    Fault,
    Problems,
    training_sequences,
)
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError


def test_strict_problems_raise_at_the_first_and_others_are_kept():
    fault = Fault("counts differ", "2 boxes for 3 frames; mend it.", "a", 1)
    with pytest.raises(InputError, match="2 boxes for 3 frames"):
        Problems().add(fault)
    with pytest.raises(InputError, match="bad line"), Problems().reading("a"):
        raise InputError("bad line")
    kept = Problems(strict=False)
    kept.add(fault)
    with kept.reading("b"):
        raise DataFault("missing frame", "no 3.jpg")
    with kept.reading("c"):
        raise PermissionError(13, "Permission denied", "c.txt")
    assert kept.faults[1:] == [
        Fault("missing frame", "no 3.jpg", "b"),
        Fault(
            "unreadable annotation",
            "c.txt: Permission denied; mend or replace it.",
            "c",
        ),
    ]
    with pytest.raises(ZeroDivisionError), kept.reading("d"):
        raise ZeroDivisionError


def make(sides, *, visible=None, size=(100, 200)):
    boxes = np.array([[50, 50, w, h] for w, h in sides], np.float32)
    shown = np.ones(len(boxes), bool) if visible is None else np.array(visible)
    boxes[~shown] = np.nan
    return Sequence("a", "a", (), boxes, shown, size=size)


LIMITS = BoxFilter(
    min_area_px=30.0,
    min_side_px=5.0,
    max_side_px=80.0,
    max_relative=0.4,
    max_aspect=4.0,
)


@pytest.mark.parametrize(
    ("side", "reason"),
    [
        ((5.0, 5.9), "area below 30"),
        ((4.9, 10.0), "side below 5 px"),
        ((81.0, 41.0), "side above 80 px"),
        ((25.0, 6.0), "aspect above 4"),
        ((6.0, 25.0), "aspect above 4"),
        # NumPy warns of the root of a negative area, and a warning fails the test.
        ((-3.0, 4.0), "area below 30"),
        # sqrt(60 * 55 / (100 * 200)) = .406
        ((60.0, 55.0), "larger than 0.4"),
    ],
)
def test_each_limit_hides_its_box_and_says_so(side, reason):
    kept, report = training_sequences([make([(20.0, 20.0), side])], LIMITS)
    assert kept[0].visible.tolist() == [True, False]
    assert len(kept[0].boxes) == 2
    assert [f.frames for f in report.findings] == [1]
    assert reason in report.findings[0].reason
    assert (report.kept_sequences, report.kept_frames) == (1, 1)


def test_a_sequence_without_a_fit_box_is_left_out_and_reported():
    kept, report = training_sequences([make([(1.0, 1.0)]), make([(9.0, 9.0)])], LIMITS)
    assert len(kept) == 1
    assert report.findings[0].sequence == "a"
    assert "kept 1 frame of 1 sequence" in report.summary()
    assert "left out 1 frame in 1: area below 30" in report.summary()


def test_absent_frames_are_counted_as_such():
    sequence = make([(9.0, 9.0), (9.0, 9.0)], visible=[True, False])
    kept, report = training_sequences([sequence], LIMITS)
    assert kept[0].visible.tolist() == [True, False]
    assert [(f.frames, f.reason) for f in report.findings] == [
        (1, "target absent or covered")
    ]


def test_the_relative_limit_needs_a_known_size():
    kept, _ = training_sequences([make([(60.0, 55.0)], size=None)], LIMITS)
    assert kept[0].visible.all()


def test_limits_that_admit_nothing_are_refused():
    with pytest.raises(InputError, match="min_side_px"):
        BoxFilter(min_side_px=10.0, max_side_px=5.0)
    with pytest.raises(InputError, match="max_aspect=nan"):
        BoxFilter(max_aspect=float("nan"))
