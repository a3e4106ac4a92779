import numpy as np
import pytest

from dst_jax.data.checks.lint import Problems
from dst_jax.data.readers.uav123 import PARTS, read_uav123
from dst_jax.errors import InputError
from tests.data.readers.trees import names, write_frames, write_rows

ROWS = [(1, 1, 10, 20), ("NaN", "NaN", "NaN", "NaN"), (5, 7, 10, 20)]


def write_set(root, videos, targets, *, part="UAV123"):
    for video, numbers in videos.items():
        write_frames(root / "data_seq" / part / video, numbers, digits=6)
    for target, rows in targets.items():
        write_rows(root / "anno" / part / f"{target}.txt", rows)


def read_all(root, **options):
    """Sequences, and what is wrong by kind and sequence."""
    problems = Problems(strict=False)
    found = read_uav123(root, problems=problems, **options)
    return found, [(fault.kind, fault.sequence) for fault in problems.faults]


# As the table of the benchmark's MATLAB kit has them.
@pytest.mark.parametrize(
    ("target", "fps", "first", "last"),
    [
        ("bird1_1", 30, 1, 253),
        ("bird1_2", 30, 775, 1477),
        ("person8_2", 30, 1075, 1525),
        ("bird1_1", 10, 1, 85),
        ("bird1_2", 10, 259, 493),
        ("bird1_3", 10, 525, 813),
        ("uav1_2", 10, 519, 793),
        ("truck4_2", 10, 193, 421),
    ],
)
def test_targets_of_one_folder_have_the_frames_that_the_benchmark_says(
    tmp_path, target, fps, first, last
):
    part = {30: "UAV123", 10: "UAV123_10fps"}[fps]
    video, rows = target.split("_")[0], [ROWS[0]] * (last - first + 1)
    # The folder goes on after the target.
    write_set(tmp_path, {video: range(first, last + 3)}, {target: rows}, part=part)
    (found,), _ = read_all(tmp_path, fps=fps)
    assert (found.name, found.video, len(found)) == (target, video, len(rows))
    assert names(found.frames)[0] == f"{first:06d}.jpg"
    assert names(found.frames)[-1] == f"{last:06d}.jpg"
    write_set(tmp_path, {}, {target: rows[:-1]}, part=part)
    found, faults = read_all(tmp_path, fps=fps)
    assert not found and ("counts differ", target) in faults


@pytest.mark.parametrize("count", [2, 4])
def test_a_folder_of_one_target_has_a_box_for_every_frame(tmp_path, count):
    rows = [*ROWS, ROWS[0]][:count]
    write_set(tmp_path, {"bike1": range(1, 4)}, {"bike1": rows})
    with pytest.raises(InputError, match=rf"bike1\.txt has {count} boxes for 3 frames"):
        read_uav123(tmp_path)
    assert len(read_uav123(tmp_path, frames_required=False)[0]) == count


def test_frames_without_an_annotation_are_named(tmp_path):
    videos = {"bike1": range(1, 4), "bike2": range(1, 4), "car8": range(1, 4)}
    write_set(tmp_path, videos, {"bike1": ROWS})
    (tmp_path / "data_seq" / "UAV123" / "empty").mkdir()
    found, faults = read_all(tmp_path)
    assert [s.name for s in found] == ["bike1"]
    lacking = [("missing annotation", n) for n in ("bike2", "car8_1", "car8_2")]
    assert faults == lacking
    with pytest.raises(InputError, match=r"/bike2 has no .*anno/UAV123/bike2\.txt"):
        read_uav123(tmp_path)


def test_nan_is_an_absent_target_and_one_nan_is_a_mistake(tmp_path):
    write_set(tmp_path, {"bike1": range(1, 4)}, {"bike1": ROWS})
    (bike,) = read_uav123(tmp_path)
    assert bike.visible.tolist() == [True, False, True]
    assert np.isnan(bike.boxes).all(axis=1).tolist() == [False, True, False]
    write_rows(tmp_path / "anno/UAV123/bike1.txt", [*ROWS[:2], ("NaN", 7, 10, 20)])
    with pytest.raises(InputError, match=r"bike1\.txt line 3: .*is not finite"):
        read_uav123(tmp_path)


def test_at_ten_frames_per_second_every_third_frame_is_left(tmp_path):
    write_set(tmp_path, {"bike1": (1, 2, 3)}, {"bike1": ROWS}, part="UAV123_10fps")
    (bike,) = read_uav123(tmp_path, fps=10)
    assert bike.source == f"uav123-10fps:{tmp_path}"
    numbers = [n for parts in PARTS.values() for span in parts for n in span]
    assert all((n - 1) % 3 == 0 for n in numbers)


def test_a_name_with_an_underscore_may_have_a_folder_of_its_own(tmp_path):
    write_set(tmp_path, {"car1_s": range(1, 4)}, {"car1_s": ROWS})
    (car,) = read_uav123(tmp_path)
    assert (car.name, car.video) == ("car1_s", "car1_s")


def test_a_part_without_its_last_frame_is_refused(tmp_path):
    rows = [ROWS[0]] * 85
    write_set(tmp_path, {"bird1": range(1, 85)}, {"bird1_1": rows}, part="UAV123_10fps")
    with pytest.raises(InputError, match="bird1 has no frame number 85 of 1 to 85"):
        read_uav123(tmp_path, fps=10)
