"""Where result files lie: folders of folders, suffixes, spellings, and none."""

import pytest

from dst_jax.errors import InputError
from dst_jax.evaluate.results import find_results, read_results

ROWS = "1,2,10,20\n3,4,10,20\n"
WANT = [[5.0, 11.0, 10.0, 20.0], [7.0, 13.0, 10.0, 20.0]]  # of ROWS, 1-based


def write(root, *files):
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(ROWS)


def read(root, *names):
    return read_results(root, dict.fromkeys(names, 2), origin=1)


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


@pytest.mark.parametrize(
    ("files", "shown"),
    [
        (("Ant.txt", "Ant.TXT"), "Ant.TXT and Ant.txt"),
        (("Ant/Ant_001.txt", "Ant/Ant_002.txt"), "Ant/Ant_001.txt and Ant/Ant_002.txt"),
    ],
)
def test_two_files_of_one_sequence_are_refused_by_name(tmp_path, files, shown):
    write(tmp_path, *files)
    with pytest.raises(InputError, match=f"'Ant' has 2 result files.*{shown}; keep"):
        read(tmp_path, "Ant")


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
