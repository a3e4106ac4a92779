"""Each input that breaks other kits meets a named fault or a documented rule."""

import errno
import json
import pathlib

import cv2
import numpy as np
import pytest
from rich.console import Console

from dst_jax.command.main import main
from dst_jax.data.checks.verify import (
    ONE_COLOUR,
    SAMPLE,
    load_report,
    report_beside,
    save_report,
    verify,
)
from dst_jax.data.frames import FEW_VALUES, TURNED
from dst_jax.data.pipeline import DataConfig, read_sources
from dst_jax.data.readers.annotation import NO_AREA
from dst_jax.errors import InputError
from dst_jax.workflows import verify as verify_workflow
from dst_jax.workflows.verify import print_layouts, verify_data
from tests.data.images import encoded, exif, jpeg_with, picture
from tests.data.readers.trees import write_frames, write_rows

ROWS = [(0, 0, 10, 20), (5, 7, 10, 20), (5, 7, 10, 20), (6, 7, 10, 20), (6, 7, 10, 20)]


def write_target(root, name="a", rows=ROWS, *, absent=None):
    """A GOT-10k target; frames differ between targets."""
    write_frames(root / name, range(1, len(rows) + 1))
    (root / name / "meta_info.ini").write_text(f"[METAINFO]\nurl: https://v/{name}\n")
    write_rows(root / name / "groundtruth.txt", rows)
    if absent is not None:
        (root / name / "absence.label").write_text("\n".join(map(str, absent)))


def check(root, **options):
    return verify(f"got10k:{root}", **options)


def kinds(report):
    return [(fault.kind, fault.sequence, fault.frame) for fault in report.faults]


def frame(root, number, name="a"):
    return root / name / f"{number:08d}.jpg"


def test_a_sound_data_set_has_no_fault(tmp_path):
    write_target(tmp_path)
    report = check(tmp_path)
    assert report.faults == ()
    assert (report.sequences, report.frames, report.decoded) == (1, 5, SAMPLE)
    assert check(tmp_path, every_frame=True).decoded == 5


# --- The bad inputs, in the order of their list.


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_an_unreadable_frame_is_found_and_hidden(tmp_path, content):
    write_target(tmp_path)
    path = frame(tmp_path, 2)
    path.write_bytes(path.read_bytes()[:300] if content is None else content)
    report = check(tmp_path, every_frame=True)
    assert kinds(report) == [("unreadable frame", "a", 1)]
    assert "00000002.jpg" in report.faults[0].message


def test_a_missing_frame_is_found(tmp_path):
    write_target(tmp_path)
    frame(tmp_path, 3).unlink()
    (fault, nothing) = check(tmp_path).faults
    assert (fault.kind, fault.frame) == ("missing frame", None)
    assert "00000003.jpg is missing" in fault.message
    assert nothing.kind == "nothing usable"


def test_a_set_without_a_usable_video_is_refused(tmp_path):
    write_target(tmp_path, rows=[(0, 0, 1, 1)] * 3)
    assert [f.kind for f in check(tmp_path).faults] == ["nothing usable"]
    with pytest.raises(InputError, match="has no box fit for training"):
        read_sources(DataConfig(sources=(f"got10k:{tmp_path}",)))


def test_thin_boxes_and_tiny_images_are_left_out_and_named(tmp_path):
    write_target(tmp_path, rows=[*ROWS[:4], (0, 0, 1, 40)])
    report = check(tmp_path)
    assert report.faults == ()
    assert [(f.frames, f.reason) for f in report.left_out] == [(1, "side below 4 px")]
    tiny = tmp_path / "tiny"
    write_frames(tiny / "t", range(1, 3), size=(1, 1))
    write_rows(tiny / "t" / "groundtruth.txt", [(0, 0, 1, 1)] * 2)
    assert [f.kind for f in check(tiny).faults] == ["nothing usable"]


def test_frames_of_one_colour_are_noted_and_used(tmp_path):
    write_target(tmp_path)
    cv2.imwrite(str(frame(tmp_path, 1)), np.zeros((40, 60, 3), np.uint8))
    report = check(tmp_path)
    assert report.faults == ()
    assert [(f.frames, f.reason) for f in report.left_out] == [(1, ONE_COLOUR)]


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (("nan", 7, 10, 20), "box is not finite"),
        (("inf", 7, 10, 20), "box is not finite"),
        ((1e30, 7, 10, 20), "box is not finite"),
        ((5, 7, 0, 20), "box has no area"),
        ((-1, -1, -1, -1), "box has no area"),
        ((60, 7, 10, 20), "box lies outside the frame"),
        ((-10, 7, 10, 20), "box lies outside the frame"),
    ],
)
def test_a_bad_box_is_a_fault_of_its_frame_unless_marked_absent(tmp_path, row, kind):
    rows = [ROWS[0], row, *ROWS[2:]]
    write_target(tmp_path, rows=rows)
    assert kinds(check(tmp_path)) == [(kind, "a", 1)]
    (tmp_path / "a" / "absence.label").write_text("0\n1\n0\n0\n0\n")
    assert check(tmp_path).faults == ()


def test_a_box_0_wide_and_0_high_is_a_covered_target_and_noted(tmp_path):
    write_target(tmp_path, rows=[*ROWS[:4], (0, 0, 0, 0)])
    report = check(tmp_path)
    assert report.faults == ()
    assert (1, NO_AREA) in [(f.frames, f.reason) for f in report.left_out]


def test_counts_that_differ_name_both(tmp_path):
    write_target(tmp_path, rows=ROWS)
    write_rows(tmp_path / "a" / "groundtruth.txt", ROWS[:3])
    fault = check(tmp_path).faults[0]
    assert (fault.kind, fault.sequence, fault.frame) == ("counts differ", "a", None)
    assert "3 boxes for 5 frames" in fault.message


def test_a_misspelt_sequence_is_named_with_the_nearest(tmp_path):
    write_target(tmp_path, "Human4-2")
    (tmp_path / "list.txt").write_text("Human4_2\nHuman4-2\n")
    (fault,) = check(tmp_path).faults
    assert (fault.kind, fault.sequence) == ("missing sequence", "Human4_2")
    assert "it may be spelt Human4-2" in fault.message


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_and_sixteen_bit_frames_are_as_good_as_others(tmp_path, dtype):
    write_target(tmp_path)
    for number in range(1, 6):
        frame(tmp_path, number).unlink()
        pixels = np.random.default_rng(number).integers(0, 255, (40, 60)).astype(dtype)
        cv2.imwrite(str(tmp_path / "a" / f"{number:08d}.png"), pixels)
    assert check(tmp_path, every_frame=True).faults == ()


def test_paths_with_backslashes_are_ordinary_names_that_are_missing(tmp_path):
    write_target(tmp_path)
    (tmp_path / "list.txt").write_text("train\\users\\a\r\na\r\n")
    assert [f.kind for f in check(tmp_path).faults] == ["missing sequence"]


def test_sequences_known_to_show_another_video_are_left_out(tmp_path):
    write_target(tmp_path, "GOT-10k_Train_000001")
    write_target(tmp_path, "GOT-10k_Train_008630")
    report = check(tmp_path)
    assert (report.faults, report.sequences) == ((), 1)
    (known,) = report.left_out
    assert (known.sequence, known.frames) == ("GOT-10k_Train_008630", 5)


def test_a_frame_of_another_size_is_found(tmp_path):
    write_target(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 255, (30, 60, 3), np.uint8)
    cv2.imwrite(str(frame(tmp_path, 5)), pixels)
    report = check(tmp_path)
    assert kinds(report) == [("frame of another size", "a", 4)]
    assert "60x30 px" in report.faults[0].message


def test_one_bad_sequence_does_not_hide_another(tmp_path):
    for name in "abc":
        write_target(tmp_path, name)
    (tmp_path / "a" / "groundtruth.txt").write_text("what is this\n" * 5)
    (tmp_path / "c" / "groundtruth.txt").write_bytes(b"\xff\xfe\x00")
    report = check(tmp_path)
    assert [(f.kind, f.sequence) for f in report.faults] == [
        ("unreadable annotation", "a"),
        ("unreadable annotation", "c"),
    ]
    assert report.sequences == 1


def test_a_data_set_that_cannot_be_read_at_all_is_a_fault(tmp_path):
    report = check(tmp_path)
    assert [f.kind for f in report.faults] == ["unreadable data set", "nothing usable"]


# --- The report, and training under it.


def test_a_report_comes_back_from_its_file(tmp_path):
    write_target(tmp_path / "d", rows=[ROWS[0], (5, 7, 0, 20), *ROWS[2:]])
    report = check(tmp_path / "d")
    path = report_beside(f"got10k:{tmp_path / 'd'}")
    assert path == tmp_path / "d.verify.json"
    save_report(report, path)
    assert load_report(path) == report
    assert [p.name for p in tmp_path.iterdir() if "tmp" in p.name] == []
    for text, complaint in (
        ("{", "not JSON"),
        ('{"format_version": 7}', "format_version 7 is not 1"),
        ('{"format_version": 1}', "is no verification report"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=complaint):
            load_report(path)


def faulty(root):
    """A data set of which one frame of `a`, and all of `b`, must not be used."""
    for name in "abc":
        write_target(root, name)
    frame(root, 5).write_bytes(b"")
    write_rows(root / "b" / "groundtruth.txt", ROWS[:3])
    return f"got10k:{root}"


def verified(source, console=None, **options):
    quiet = console or Console(quiet=True)
    settings = {"every_frame": False, "report_path": None, **options}
    return verify_data(source, console=quiet, **settings)


def test_training_refuses_what_the_report_lists(tmp_path):
    source = faulty(tmp_path / "d")
    with pytest.raises(InputError, match=r"2 faults; mend .*--skip-bad"):
        verified(source)
    with pytest.raises(InputError, match=r"2 faults .*boxes for 5 frames.*--skip-bad"):
        read_sources(DataConfig(sources=(source,)))


def test_training_leaves_out_what_the_report_lists_and_says_how_much(tmp_path):
    source = faulty(tmp_path / "d")
    with pytest.raises(InputError):
        verified(source)
    sequences, report = read_sources(DataConfig(sources=(source,), skip_bad=True))
    found = {s.name: s.visible.tolist() for s in sequences}
    assert found == {"a": [True] * 4 + [False], "c": [True] * 5}
    summary = report.summary()
    assert "left out 1 frame in 1: unreadable frame (d.verify.json)" in summary
    assert "in 1: counts differ (d.verify.json)" in summary
    assert "saw a sample of the frames alone" in summary


def test_a_mended_data_set_is_read_again_after_verification(tmp_path):
    source = faulty(tmp_path / "d")
    with pytest.raises(InputError):
        verified(source)
    write_target(tmp_path / "d", "a")
    write_rows(tmp_path / "d" / "b" / "groundtruth.txt", ROWS)
    with pytest.raises(InputError, match="is of another state of"):
        read_sources(DataConfig(sources=(source,), skip_bad=True))
    verified(source)
    assert len(read_sources(DataConfig(sources=(source,)))[0]) == 3


def test_reports_may_lie_elsewhere_and_must_be_of_that_data_set(tmp_path):
    source, path = faulty(tmp_path / "d"), tmp_path / "report.json"
    config = DataConfig(sources=(source,), reports=(str(path),), skip_bad=True)
    with pytest.raises(InputError, match=r"report\.json: no such report of got10k"):
        read_sources(config)
    with pytest.raises(InputError):
        verified(source, report_path=path)
    assert len(read_sources(config)[0]) == 2
    write_target(tmp_path / "e")
    other = DataConfig(sources=(f"got10k:{tmp_path / 'e'}",), reports=(str(path),))
    with pytest.raises(InputError, match=r"is the report of got10k:.*/d, not of"):
        read_sources(other)


def test_skipping_needs_a_report(tmp_path):
    write_target(tmp_path / "d")
    source = f"got10k:{tmp_path / 'd'}"
    with pytest.raises(InputError, match="make it with `dst-jax data verify got10k:"):
        read_sources(DataConfig(sources=(source,), skip_bad=True))


# --- What is printed.


def test_the_table_has_a_row_per_kind_with_count_and_first_example(tmp_path, capsys):
    source = faulty(tmp_path / "d")
    console = Console(width=200, force_terminal=False)
    with pytest.raises(InputError):
        verified(source, console)
    out = capsys.readouterr().out
    assert "unreadable frame" in out
    assert "00000005.jpg is no complete image (0 bytes)" in out
    assert "counts differ" in out and "3 boxes for 5 frames" in out
    assert "2 sequences, 10 frames; size and end of every file looked at" in out
    assert ", 5 images decoded (a sample" in out
    assert f"report: {tmp_path / 'd.verify.json'}" in out
    values = json.loads((tmp_path / "d.verify.json").read_text())
    assert [f["sequence"] for f in values["faults"]] == ["b", "a"]


def test_a_folder_that_does_not_exist_leaves_no_report(tmp_path):
    with pytest.raises(InputError, match=r"folder .*gone does not exist"):
        verified(f"got10k:{tmp_path / 'gone'}")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_layout_leaves_no_report(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for source in ("got10k", "elsewhere:x"):
        with pytest.raises(InputError, match="write LAYOUT:DIR"):
            verified(source)
    assert list(tmp_path.iterdir()) == []


def test_the_layouts_are_listed(capsys):
    print_layouts(Console(width=200))
    out = capsys.readouterr().out
    for layout in ("folder:DIR", "lasot:DIR", "uav123-10fps:DIR", "ytbb:DIR"):
        assert layout in out


def test_messages_with_brackets_are_printed_as_they_are(tmp_path, capsys):
    root = tmp_path / "[red]x"
    write_target(root, rows=[ROWS[0], (5, 7, 0, 20), *ROWS[2:]])
    with pytest.raises(InputError):
        verified(f"got10k:{root}", Console(width=200))
    assert "[red]x" in capsys.readouterr().out


# --- Frames as cameras store them.


def stills(root, data, *, name="a", suffix=".jpg", rows=ROWS):
    """A GOT-10k target whose frames are files of these bytes."""
    (root / name).mkdir(parents=True)
    for number in range(1, len(rows) + 1):
        (root / name / f"{number:08d}{suffix}").write_bytes(data)
    write_rows(root / name / "groundtruth.txt", rows)


def test_every_file_is_looked_at_though_a_sample_is_decoded(tmp_path):
    stills(tmp_path, encoded(".jpg", picture(40, 60)))
    torn = encoded(".jpg", picture(40, 60))[:-200]
    frame(tmp_path, 2).write_bytes(torn)  # not among the three that are decoded
    frame(tmp_path, 4).write_bytes(encoded(".jpg", picture(40, 58)))
    report = check(tmp_path)
    assert kinds(report) == [
        ("unreadable frame", "a", 1),
        ("frame of another size", "a", 3),
    ]
    assert (report.decoded, report.frames) == (SAMPLE, 5)


def test_a_frame_that_cannot_be_tracked_is_a_fault_though_it_decodes(tmp_path):
    stills(tmp_path, encoded(".png", np.zeros((10, 8000), np.uint8)), suffix=".png")
    report = check(tmp_path)
    assert {kind for kind, _, _ in kinds(report)} >= {"frame too large"}
    message = next(f.message for f in report.faults if f.kind == "frame too large")
    assert "00000001.png has 8000x10 px" in message and "7680" in message


def test_stills_that_viewers_turn_are_noted_and_named_where_a_box_is_outside(tmp_path):
    turned = jpeg_with(exif(6), encoded(".jpg", picture(60, 40)))
    stills(tmp_path / "in", turned)
    report = check(tmp_path / "in")
    assert report.faults == ()
    assert [(f.reason, f.frames) for f in report.left_out] == [(TURNED, 1)] * 5
    # As every viewer shows it, the image is 60 wide: the box lies in it.
    stills(tmp_path / "out", turned, rows=[(45, 5, 10, 20)] * 5)
    message = check(tmp_path / "out").faults[0].message
    assert "outside the frame of 40x60 px (the file asks viewers to turn it" in message


def test_thermal_frames_of_few_values_are_noted(tmp_path):
    pixels = np.linspace(7600, 8400, 2400).reshape(40, 60).astype(np.uint16)
    stills(tmp_path, encoded(".png", pixels), suffix=".png")
    report = check(tmp_path, every_frame=True)
    assert report.faults == ()
    assert [f.reason for f in report.left_out] == [FEW_VALUES] * 5


def test_whole_phone_pictures_have_no_fault(tmp_path):
    jpeg = encoded(".jpg", picture(40, 60))
    stills(tmp_path, jpeg_with(exif(1, thumbnail=jpeg), jpeg) + b"\0" * 900 + jpeg)
    assert check(tmp_path, every_frame=True).faults == ()


# --- Where the report goes.


def test_a_place_for_the_report_is_looked_for_before_the_data(tmp_path, monkeypatch):
    write_target(tmp_path / "d")
    monkeypatch.setattr(verify_workflow, "verify", None)  # nothing is read
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(InputError, match=r"file is no folder; name another place"):
        verified(f"got10k:{tmp_path / 'd'}", report_path=blocked / "r.json")
    with pytest.raises(InputError, match=r"--report .*d is a folder; name a file"):
        verified(f"got10k:{tmp_path / 'd'}", report_path=tmp_path / "d")
    with pytest.raises(InputError, match="nothing lies beside /; name a file"):
        verified("got10k:/")


def test_findings_are_printed_though_the_report_cannot_be_written(
    tmp_path, monkeypatch, capsys
):
    source = faulty(tmp_path / "d")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pathlib.Path, "write_bytes", full)
    assert main(["data", "verify", source]) == 2
    said = capsys.readouterr()
    assert "counts differ" in said.out and "2 faults" in said.out
    path = tmp_path / "d.verify.json"
    assert said.err.startswith(f"dst-jax: {path}: No space left on device; free some")
    assert said.err.count("\n") == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["d"]


def test_one_fault_is_one_fault(tmp_path):
    write_target(tmp_path / "d")
    frame(tmp_path / "d", 2).write_bytes(b"")
    with pytest.raises(InputError, match="to train on: 1 fault; mend"):
        verified(f"got10k:{tmp_path / 'd'}")
    with pytest.raises(InputError, match="to train on: 2 faults; mend"):
        (tmp_path / "e").mkdir()
        verified(f"got10k:{tmp_path / 'e'}")
