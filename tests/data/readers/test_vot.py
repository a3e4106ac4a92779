import pytest

from dst_jax.data.checks.lint import Problems
from dst_jax.data.readers.vot import read_vot
from dst_jax.errors import InputError
from tests.data.readers.trees import names, write_frames


def write_sequence(root, name, lines, *, folder=""):
    write_frames(root / name / folder, range(1, len(lines) + 1))
    (root / name / "groundtruth.txt").write_text("\n".join(lines) + "\n")


def test_a_polygon_becomes_the_box_of_its_area(tmp_path):
    # A square on its tip: area 200, bounding box 20 x 20, so sides 20 sqrt(1/2).
    write_sequence(tmp_path, "bag", ["30,10,40,20,30,30,20,20"])
    (bag,) = read_vot(tmp_path)
    side = 20.0 * 0.5**0.5
    assert bag.boxes[0].tolist() == pytest.approx([30.0, 20.0, side, side])


def test_rectangles_upright_polygons_and_masks_agree(tmp_path):
    lines = ["10,5,20,30", "10,5,30,5,30,35,10,35", "m10,5,20,30,3,7"]
    write_sequence(tmp_path, "bag", lines)
    (bag,) = read_vot(tmp_path)
    for box in bag.boxes.tolist():
        assert box == pytest.approx([20.0, 20.0, 20.0, 30.0])


def test_nan_markers_and_empty_masks_are_no_target(tmp_path):
    lines = ["10,5,20,30", "nan,nan,nan,nan", "0", "m0,0,0,0", "NaN," * 7 + "NaN"]
    write_sequence(tmp_path, "bag", lines)
    (bag,) = read_vot(tmp_path)
    assert bag.visible.tolist() == [True, False, False, False, False]


def test_rectangles_and_polygons_are_kept_as_stated_unless_one_is_a_mask(tmp_path):
    lines = ["10,5,20,30", "30,10,40,20,30,30,20,20", "nan,nan,nan,nan", "0"]
    write_sequence(tmp_path / "a", "bag", lines)
    (bag,) = read_vot(tmp_path / "a")
    assert bag.regions == (
        (10.0, 5.0, 20.0, 30.0),
        (30.0, 10.0, 40.0, 20.0, 30.0, 30.0, 20.0, 20.0),
        (0.0,),
        (0.0,),
    )
    write_sequence(tmp_path / "b", "bag", [*lines, "m10,5,20,30,3,7"])
    (bag,) = read_vot(tmp_path / "b")
    assert bag.regions is None


def test_frames_may_lie_in_color_and_the_list_orders(tmp_path):
    for name in ("ants1", "bag"):
        write_sequence(tmp_path, name, ["10,5,20,30"], folder="color")
    (tmp_path / "list.txt").write_text("bag\nants1\n")
    first, second = read_vot(tmp_path)
    assert (first.name, second.name) == ("bag", "ants1")
    assert names(first.frames) == ["00000001.jpg"]
    (tmp_path / "list.txt").write_text("bagg\n")
    with pytest.raises(InputError, match=r"bagg is in list\.txt but does not exist"):
        read_vot(tmp_path)


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        ("1,2,3", "is no rectangle, polygon or mask"),
        ("1,2,3,4,5,6,7", "is no rectangle, polygon or mask"),
        ("x,2,3,4", "is no rectangle, polygon or mask"),
        ("7", "is no rectangle, polygon or mask"),
        ("m1,2,3", "is no rectangle, polygon or mask"),
        ("10,10,20,20,30,30,40,40", "has no area"),
        ("10,10,inf,20,30,30,40,40", "is not finite"),
        ("nan,10,20,20", "is not finite"),
    ],
)
def test_a_bad_region_is_named(tmp_path, bad, complaint):
    write_sequence(tmp_path, "bag", ["10,5,20,30", bad])
    with pytest.raises(InputError, match=rf"groundtruth\.txt line 2: .*{complaint}"):
        read_vot(tmp_path)


def test_frames_without_regions_or_a_place_in_the_list_are_named(tmp_path):
    for name in ("ants1", "bag"):
        write_sequence(tmp_path, name, ["10,5,20,30"], folder="color")
    (tmp_path / "empty").mkdir()
    (tmp_path / "bag" / "groundtruth.txt").unlink()
    problems = Problems(strict=False)
    assert [s.name for s in read_vot(tmp_path, problems=problems)] == ["ants1"]
    found = [(f.kind, f.sequence) for f in problems.faults]
    assert found == [("missing annotation", "bag")]
    (tmp_path / "list.txt").write_text("ants1\n")
    problems = Problems()
    assert [s.name for s in read_vot(tmp_path, problems=problems)] == ["ants1"]
    assert [(f.sequence, f.frames) for f in problems.left_out] == [("bag", 1)]
