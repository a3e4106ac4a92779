"""The order of frames is that of their numbers, or one line says why there is none."""

import pytest

from dst_jax.data.frames import frame_paths
from dst_jax.data.numbering import in_order, natural_order
from dst_jax.errors import InputError

THIRTIETHS = [f"{i / 30:.5g}.jpg" for i in range(45)]


@pytest.mark.parametrize(
    "names",
    [
        ["1.png", "2.png", "10.png"],
        ["0.25.jpg", "0.5.jpg", "0.75.jpg", "1.0.jpg"],
        ["0.jpg", "0.5.jpg", "1.jpg", "1.25.jpg"],
        ["t_0,125s.png", "t_0,5s.png", "t_10,25s.png"],
        THIRTIETHS,
        ["1403636579.763555.png", "1403636579.81.png", "1403636580.1.png"],
        [f"1.{i}.png" for i in range(1, 25)],  # a count behind the dot
        [f"shot01.{i}.png" for i in range(95, 105)],
        ["1.2.9.png", "1.2.10.png", "1.10.1.png"],
        ["-10.png", "-2.png", "0.png", "5.png"],
        ["t=-0.5.png", "t=-0.25.png", "t=0.png"],
        ["-0001.png", "-0002.png", "-0010.png"],  # a dash before a count
        ["clip-1.png", "clip-2.png", "clip-10.png"],
        ["2024-01-02 10.30.05.jpg", "2024-01-02 10.30.15.jpg"],
        ["frame_9_end.jpg", "frame_10.jpg"],
        ["a1.png", "b7.png"],
        ["ant.png", "bee.png"],
    ],
)
def test_frames_come_in_the_order_of_their_numbers(names):
    assert in_order(reversed(names)) == names
    assert in_order(sorted(names)) == names


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (("0001.jpg", "0001.png", "0002.jpg"), "0001.jpg and 0001.png have the same"),
        (("0001.jpg", "1.jpg"), "0001.jpg and 1.jpg have the same number"),
        (("a.JPG", "a.jpg"), "a.JPG and a.jpg have the same"),
        (("A1.jpg", "a1.jpg"), "A1.jpg and a1.jpg have the same"),
        (("\u00e91.jpg", "e\u03011.jpg"), "have the same number"),
        (("1.jpg", "1_mask.png", "2.jpg", "2_mask.png"), "1.jpg and 1_mask.png have"),
        (("left_1.jpg", "left_2.jpg", "right_1.jpg", "right_2.jpg"), "have the same"),
        (("0001 (1).jpg", "0001.jpg"), "have the same number"),
        (("1.jpg", "2.jpg", "cover.jpg"), "cover.jpg has no number among 2 numbered"),
        (("a7.jpg", "b1.jpg"), "a7.jpg and b1.jpg comes first is not clear"),
        (("-1.jpg", "-2.jpg"), "-1.jpg and -2.jpg comes first is not clear"),
        (("0.10.jpg", "0.25.jpg", "0.5.jpg"), "0.5.jpg and 0.10.jpg comes first"),
        (("1.7.jpg", "1.14.jpg", "1.21.jpg", "1.28.jpg"), "1.7.jpg and 1.14.jpg comes"),
        (("0.5.jpg", "0.50.jpg"), "0.5.jpg and 0.50.jpg comes first"),
    ],
)
def test_frames_without_a_clear_order_are_refused_by_name(tmp_path, names, complaint):
    for name in names:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError) as raised:
        frame_paths(tmp_path)
    message = str(raised.value)
    assert message.startswith(f"{tmp_path}: ") and complaint in message
    assert raised.value.kind == "frames in no clear order"
    assert sorted(natural_order(names)) == sorted(names)
    assert len(frame_paths(tmp_path, any_order=True)) == len(names)


def test_decimals_have_no_gaps(tmp_path):
    for name in ("0.1.jpg", "0.15.jpg", "0.2.jpg", "0.3.jpg"):
        (tmp_path / name).write_bytes(b"")
    names = [path.rsplit("/", 1)[1] for path in frame_paths(tmp_path)]
    assert names == ["0.1.jpg", "0.15.jpg", "0.2.jpg", "0.3.jpg"]
