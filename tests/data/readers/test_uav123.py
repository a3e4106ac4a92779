import numpy as np
import pytest

from dst_jax.data.readers.uav123 import FIRST_FRAMES, read_uav123
from dst_jax.errors import InputError
from tests.data.readers.trees import names, write_frames, write_rows

ROWS = [(1, 1, 10, 20), ("NaN", "NaN", "NaN", "NaN"), (5, 7, 10, 20)]


def write_set(root, videos, targets, *, part="UAV123"):
    for video, numbers in videos.items():
        write_frames(root / "data_seq" / part / video, numbers, digits=6)
    for target, rows in targets.items():
        write_rows(root / "anno" / part / f"{target}.txt", rows)


def test_targets_of_one_folder_start_where_the_benchmark_says(tmp_path):
    # bird1_2 starts at frame 775, as the MATLAB kit's table has it.
    frames = [*range(1, 4), *range(775, 778)]
    write_set(tmp_path, {"bird1": frames}, {"bird1_1": ROWS, "bird1_2": ROWS})
    first, second = read_uav123(tmp_path)
    assert first.video == second.video == "bird1"
    assert names(second.frames) == ["000775.jpg", "000776.jpg", "000777.jpg"]
    assert first.boxes[0].tolist() == [5.0, 10.0, 10.0, 20.0]


def test_nan_is_an_absent_target_and_one_nan_is_a_mistake(tmp_path):
    write_set(tmp_path, {"bike1": range(1, 4)}, {"bike1": ROWS})
    (bike,) = read_uav123(tmp_path)
    assert bike.visible.tolist() == [True, False, True]
    assert np.isnan(bike.boxes).all(axis=1).tolist() == [False, True, False]
    write_rows(tmp_path / "anno/UAV123/bike1.txt", [*ROWS[:2], ("NaN", 7, 10, 20)])
    with pytest.raises(InputError, match=r"bike1\.txt line 3: .*is not finite"):
        read_uav123(tmp_path)


def test_at_ten_frames_per_second_every_third_frame_is_left(tmp_path):
    # bird1_3: frame 1573 of the full rate is number 525 (1 + 1572 / 3).
    write_set(
        tmp_path, {"bird1": range(525, 528)}, {"bird1_3": ROWS}, part="UAV123_10fps"
    )
    (bird,) = read_uav123(tmp_path, fps=10)
    assert names(bird.frames)[0] == "000525.jpg"
    assert bird.source == f"uav123-10fps:{tmp_path}"
    assert all((n - 1) % 3 == 0 for starts in FIRST_FRAMES.values() for n in starts)


def test_a_name_with_an_underscore_may_have_a_folder_of_its_own(tmp_path):
    write_set(tmp_path, {"car1_s": range(1, 4)}, {"car1_s": ROWS})
    (car,) = read_uav123(tmp_path)
    assert (car.name, car.video) == ("car1_s", "car1_s")


def test_a_box_without_its_frame_is_refused(tmp_path):
    write_set(tmp_path, {"bike1": range(1, 3)}, {"bike1": ROWS})
    with pytest.raises(InputError, match="bike1 has no frame number 3 of 1 to 3"):
        read_uav123(tmp_path)
    assert len(read_uav123(tmp_path, frames_required=False)[0]) == 3
