import cv2
import numpy as np
import pytest

from dst_jax.data.checks.lint import Problems
from dst_jax.data.checks.verify import without_faults
from dst_jax.data.readers.got10k import read_got10k
from dst_jax.errors import InputError


def write_target(root, name, rows, *, absent=None, cover=None, meta="", shade=None):
    folder = root / name
    folder.mkdir(parents=True)
    shade = len(list(root.iterdir())) if shade is None else shade
    for i in range(len(rows)):
        pixels = np.full((40, 60, 3), 10 * shade + i, np.uint8)
        cv2.imwrite(str(folder / f"{i + 1:08d}.png"), pixels)
    text = "\n".join(",".join(str(v) for v in row) for row in rows) + "\n"
    (folder / "groundtruth.txt").write_text(text)
    for file, labels in (("absence.label", absent), ("cover.label", cover)):
        if labels is not None:
            (folder / file).write_text("\n".join(str(v) for v in labels) + "\n")
    if meta:
        (folder / "meta_info.ini").write_text(f"[METAINFO]\n{meta}\n")
    with open(root / "list.txt", "a") as names:
        names.write(f"{name}\n")


GOOD = [(0, 0, 10, 20), (5, 7, 10, 20)]


def videos(root):
    return {s.name: s.video for s in read_got10k(root)}


def test_boxes_are_zero_based(tmp_path):
    meta = "object_class: dog\nresolution: (60, 40)"
    write_target(tmp_path, "b", GOOD, meta=meta)
    write_target(tmp_path, "a", GOOD)
    first, second = read_got10k(tmp_path)
    assert (first.name, second.name) == ("b", "a")  # the order of list.txt
    assert first.boxes.tolist() == [[5.0, 10.0, 10.0, 20.0], [10.0, 17.0, 10.0, 20.0]]
    assert (first.category, first.size) == ("dog", (40, 60))
    assert (second.category, second.size) == ("", (40, 60))
    assert len(first.frames) == 2


def test_absent_targets_have_no_box_and_covered_ones_are_not_visible(tmp_path):
    rows = [GOOD[0], (0, 0, 0, 0), GOOD[1], ("nan", 0, 1, 1)]
    write_target(tmp_path, "a", rows, absent=[0, 1, 0, 1], cover=[8, 0, 0, 0])
    (sequence,) = read_got10k(tmp_path)
    assert sequence.visible.tolist() == [True, False, False, False]
    assert np.isnan(sequence.boxes).all(axis=1).tolist() == [False, True, False, True]


def test_without_a_list_every_annotated_folder_is_read(tmp_path):
    write_target(tmp_path, "b", GOOD)
    write_target(tmp_path, "a", GOOD)
    (tmp_path / "list.txt").unlink()
    (tmp_path / "empty").mkdir()
    assert [s.name for s in read_got10k(tmp_path)] == ["a", "b"]


def test_frames_without_boxes_are_named(tmp_path):
    for name in "abc":
        write_target(tmp_path, name, GOOD)
    (tmp_path / "b" / "groundtruth.txt").unlink()
    for listed in (True, False):
        if not listed:
            (tmp_path / "list.txt").unlink()
        problems = Problems(strict=False)
        found = read_got10k(tmp_path, problems=problems)
        assert [s.name for s in found] == ["a", "c"]
        assert [(f.kind, f.sequence) for f in problems.faults] == [
            ("missing annotation", "b")
        ]


def test_frames_that_the_list_does_not_name_are_counted(tmp_path):
    for name in "ab":
        write_target(tmp_path, name, GOOD)
    (tmp_path / "list.txt").write_text("a\n")
    problems = Problems()
    assert [s.name for s in read_got10k(tmp_path, problems=problems)] == ["a"]
    assert [(f.sequence, f.frames) for f in problems.left_out] == [("b", 2)]


def test_a_fault_of_a_folder_with_a_dot_is_not_that_of_its_namesake(tmp_path):
    for name in ("cat", "cat.1", "dog"):
        write_target(tmp_path, name, GOOD)
    (tmp_path / "cat.1" / "groundtruth.txt").write_text("nothing\n")
    (tmp_path / "list.txt").write_text("cat\ncat.1\ndog\ndog.2\n")
    problems = Problems(strict=False)
    found = read_got10k(tmp_path, problems=problems)
    assert [f.sequence for f in problems.faults] == ["cat.1", "dog.2"]
    kept = without_faults(found, problems.faults)
    assert [s.name for s in kept] == ["cat", "dog"]


# As the issues of the toolkit number them.
KNOWN_BAD = """1636 1638 8623 8624 8625 8626 8627 8628 8629 8630 8631 8632 8633 8634
8635 8636 8637 9058 9059""".split()


def test_all_sequences_known_to_be_bad_are_left_out_and_counted(tmp_path):
    bad = [f"GOT-10k_Train_{int(number):06d}" for number in KNOWN_BAD]
    good = [f"GOT-10k_Train_{number:06d}" for number in (1635, 1637, 8622, 8638, 9060)]
    for name in sorted(good + bad):
        write_target(tmp_path, name, GOOD)
    problems = Problems()
    found = read_got10k(tmp_path, problems=problems)
    assert [s.name for s in found] == good
    counted = [(f.sequence, f.frames) for f in problems.left_out]
    assert counted == [(name, len(GOOD)) for name in bad]
    assert len({f.reason for f in problems.left_out}) == 1


def test_one_web_address_is_one_video(tmp_path):
    for name, end in (("a", "x_1"), ("b", "x_1"), ("c", "x_2")):
        write_target(tmp_path, name, GOOD, meta=f"url: https://video.example/{end}%20")
    found = videos(tmp_path)
    assert found["a"] == found["b"] != found["c"]


def test_numbered_targets_of_one_path_are_one_video(tmp_path):
    urls = ("set/truck_1", "set/truck_2", "set/car10", "set/car1", "set/v_000001")
    for name, url in zip("abcde", urls, strict=True):
        write_target(tmp_path, name, GOOD, meta=f"url: {url}")
    write_target(tmp_path, "f", GOOD, meta="url: set/v_000002")
    found = videos(tmp_path)
    assert found["a"] == found["b"]
    assert len(set(found.values())) == 5


def test_numbered_folders_without_a_url_are_different_videos(tmp_path):
    write_target(tmp_path, "video_1", GOOD)
    write_target(tmp_path, "video_2", GOOD, meta="url: n/a")
    assert videos(tmp_path) == {"video_1": "video_1", "video_2": "video_2"}


def test_equal_first_frames_are_one_video(tmp_path):
    write_target(tmp_path, "a", GOOD, shade=7, meta="url: set/one_1")
    write_target(tmp_path, "b", GOOD, shade=7)
    write_target(tmp_path, "c", GOOD, shade=9, meta="url: set/one_2")
    write_target(tmp_path, "d", GOOD, shade=3)
    found = videos(tmp_path)
    assert found["a"] == found["b"] == found["c"] != found["d"]


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ((5, 5, 0, 9), "line 2: box 5,5,0,9 has no area"),
        (("nan", 5, 9, 9), "is not finite"),
        ((60, 5, 9, 9), "outside the frame of 60x40"),
        ((5, 5, 9), "line 2: '5,5,9' is not 4 numbers"),
    ],
)
def test_a_bad_line_is_named_with_the_mend(tmp_path, row, complaint):
    write_target(tmp_path, "a", [GOOD[0], row])
    with pytest.raises(InputError, match=complaint) as caught:
        read_got10k(tmp_path)
    assert "a/groundtruth.txt" in str(caught.value)


def test_counts_must_agree(tmp_path):
    write_target(tmp_path, "a", GOOD, absent=[0])
    with pytest.raises(InputError, match=r"absence\.label has 1 labels for 2 boxes"):
        read_got10k(tmp_path)
    (tmp_path / "a" / "absence.label").unlink()
    (tmp_path / "a" / "00000002.png").unlink()
    with pytest.raises(InputError, match="2 boxes for 1 frames"):
        read_got10k(tmp_path)
    assert len(read_got10k(tmp_path, frames_required=False)[0]) == 2


def test_first_boxes_alone_are_those_of_a_folder_called_test(tmp_path, monkeypatch):
    for folder in ("mine", "test"):
        write_target(tmp_path / folder, "a", GOOD)
        (tmp_path / folder / "a" / "groundtruth.txt").write_text("5,5,9,9\n")
    with pytest.raises(InputError, match=r"has 1 box for 2 frames; .* folder .* test"):
        read_got10k(tmp_path / "mine")
    monkeypatch.chdir(tmp_path / "test")
    (sequence,) = read_got10k(".")
    assert np.isnan(sequence.boxes).tolist() == [[False] * 4, [True] * 4]


def test_missing_and_empty_data_sets_are_refused(tmp_path):
    with pytest.raises(InputError, match="nowhere does not exist"):
        read_got10k(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no GOT-10k sequence"):
        read_got10k(tmp_path)
    (tmp_path / "list.txt").write_text("gone\n")
    with pytest.raises(InputError, match=r"gone is in list\.txt but does not exist"):
        read_got10k(tmp_path)
    (tmp_path / "gone").mkdir()
    with pytest.raises(InputError, match=r"gone has no groundtruth\.txt; restore it"):
        read_got10k(tmp_path)


def test_a_broken_meta_file_is_named(tmp_path):
    write_target(tmp_path, "a", GOOD)
    (tmp_path / "a" / "meta_info.ini").write_text("url: without a section\n")
    with pytest.raises(InputError, match=r"meta_info\.ini is no INI file"):
        read_got10k(tmp_path)


def test_the_real_targets_share_their_videos(real_data):
    found = {s.name.split("_", 1)[1]: s for s in read_got10k(real_data / "train")}
    assert len(found) == 54
    pairs = [
        ("10fps_truck4_1", "10fps_truck4_2"),
        ("10fps_group1_1", "10fps_group1_3"),
        ("bmx", "bmx2"),
        ("hummingbird", "hummingbird2"),
        ("monkeydog", "monkeydog2"),
    ]
    for first, second in pairs:
        assert found[first].video == found[second].video
    assert len({s.video for s in found.values()}) == 54 - len(pairs)
    assert np.sum(~found["monkeydog2"].visible) == 39
