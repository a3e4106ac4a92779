"""Where result files lie: folders of folders, suffixes, spellings, and none."""

import pytest

from dst_jax.errors import InputError
from dst_jax.evaluate.result_folders import find_results
from dst_jax.evaluate.results import read_results, read_speed

ROWS = "1,2,10,20\n3,4,10,20\n"
WANT = [[5.0, 11.0, 10.0, 20.0], [7.0, 13.0, 10.0, 20.0]]  # of ROWS, 1-based


def write(root, *files):
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(ROWS)


def read(root, *names):
    found = find_results(root, names)
    return read_results(found, dict.fromkeys(names, 2), origin=1)


@pytest.mark.parametrize(
    "files",
    [
        ("Ant.TXT", "Bee.Txt"),
        ("Ant/Ant_001.txt", "Ant/Ant_time.txt", "Bee/Bee_001.txt"),
        ("Ant.txt", "Bee/Bee_001.TXT"),
        ("mine/Ant.txt", "mine/Bee.txt"),
        ("OTB100/mine/Ant.txt", "OTB100/mine/Bee.txt", "UAV123/mine/bird1_1.txt"),
        ("mine/Ant/Ant_001.txt", "mine/Bee/Bee_001.txt", "readme.txt"),
    ],
)
def test_what_is_unambiguous_is_read(tmp_path, files):
    write(tmp_path, *files)
    boxes = read(tmp_path, "Ant", "Bee")
    assert {name: rows.tolist() for name, rows in boxes.items()} == {
        "Ant": WANT,
        "Bee": WANT,
    }


def test_the_folder_that_holds_the_files_names_the_tracker(tmp_path):
    write(tmp_path, "OTB100/mine/Ant.txt", "OTB100/mine/Cow.txt")
    found = find_results(tmp_path, ["Ant"])
    assert found.folder == tmp_path / "OTB100" / "mine"
    assert [path.name for path in found.others] == ["Cow.txt"]


def test_accents_are_found_however_the_disk_keeps_them(tmp_path):
    write(tmp_path, "cafe\u0301.txt")
    assert read(tmp_path, "caf\u00e9")["caf\u00e9"].tolist() == WANT


def test_several_trackers_are_named_and_none_is_chosen(tmp_path):
    write(tmp_path, "mine/Ant.txt", "yours/Ant.txt")
    with pytest.raises(InputError) as caught:
        read(tmp_path, "Ant")
    assert str(caught.value) == (
        f"results folder {tmp_path} holds the folders mine, yours, each with results; "
        f"name one of them, such as {tmp_path}/mine."
    )


def test_two_files_of_one_sequence_are_refused_by_name(tmp_path):
    write(tmp_path, "Ant.txt", "Ant.TXT")
    message = r"'Ant' has 2 result files, such as Ant\.TXT and Ant\.txt; keep one"
    with pytest.raises(InputError, match=message):
        read(tmp_path, "Ant")


def test_the_runs_of_a_sequence_are_read_together(tmp_path):
    write(tmp_path, "Ant/Ant_001.txt", "Ant/Ant_002.txt", "Bee/Bee_001.txt")
    (tmp_path / "Ant" / "Ant_002.txt").write_text("11,2,10,20\n13,4,10,20\n")
    boxes = read(tmp_path, "Ant", "Bee")
    moved = [[15.0, 11.0, 10.0, 20.0], [17.0, 13.0, 10.0, 20.0]]
    assert boxes["Ant"].tolist() == [WANT, moved]
    assert boxes["Bee"].tolist() == WANT


def test_a_file_beside_the_runs_of_a_sequence_is_refused(tmp_path):
    write(tmp_path, "Ant.txt", "Ant/Ant_001.txt")
    with pytest.raises(InputError, match=r"'Ant' has 2 result files"):
        read(tmp_path, "Ant")


@pytest.mark.parametrize(
    ("results", "times"),
    [
        (("Ant.txt", "Bee.txt"), ("times/Ant_time.txt", "times/Bee_time.txt")),
        (("Ant.txt", "Bee.txt"), ("Ant_time.txt", "Bee_time.txt")),
        (("Ant/Ant_001.txt", "Bee/Bee_001.txt"), ("Ant/Ant_time.txt",)),
    ],
)
def test_times_beside_the_results_give_the_speed_and_are_no_results(
    tmp_path, results, times
):
    write(tmp_path, *results, *times)
    for file in times:
        (tmp_path / file).write_text("0.0,nan\n0.02,0.03\n")
    found = find_results(tmp_path, ["Ant", "Bee"])
    assert found.others == ()
    assert read_speed(found) == pytest.approx(2 / 0.05)  # frames over their seconds


def test_without_times_there_is_no_speed(tmp_path):
    write(tmp_path, "Ant.txt")
    assert read_speed(find_results(tmp_path, ["Ant"])) is None


def test_a_file_of_times_with_words_is_refused(tmp_path):
    write(tmp_path, "Ant.txt", "Ant_time.txt")
    (tmp_path / "Ant_time.txt").write_text("fast\n")
    with pytest.raises(InputError, match=r"Ant_time\.txt holds more than numbers"):
        read_speed(find_results(tmp_path, ["Ant"]))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (("Ant.mat", "Bee.mat"), "has the layout of OTB's kit in MATLAB, .mat files;"),
        (("uav_Ant.txt", "uav_Bee.txt"), "layout of pytracking, .* uav_<sequence>.txt"),
        (("baseline/Ant/Ant_001.txt",), "has the layout of a VOT workspace"),
    ],
)
def test_the_layout_of_another_kit_is_named_with_the_mend(tmp_path, files, message):
    write(tmp_path, *files)
    with pytest.raises(InputError, match=message):
        read(tmp_path, "Ant", *(["Bee"] if len(files) > 1 else []))


def test_an_archive_of_results_is_to_be_unpacked(tmp_path):
    (tmp_path / "mine.zip").write_bytes(b"")
    with pytest.raises(
        InputError, match="is no folder; unpack it, and name the folder"
    ):
        read(tmp_path / "mine.zip", "Ant")


def test_a_folder_without_results_is_refused_with_what_it_holds(tmp_path):
    write(tmp_path, "Ant.csv", "Bee.csv", "plots/a.png")
    with pytest.raises(InputError, match=r"it holds 2 \.csv files and 1 folder\. Name"):
        read(tmp_path, "Ant")
    with pytest.raises(InputError, match="is no folder; name the folder"):
        read(tmp_path / "Ant.csv", "Ant")


def test_of_many_missing_sequences_ten_are_named(tmp_path):
    write(tmp_path, "other.txt")
    with pytest.raises(InputError, match=r"no result for 25 sequences .* and 15 more;"):
        read(tmp_path, *(f"s{n}" for n in range(25)))
