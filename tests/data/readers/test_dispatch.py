import re

import pytest

from dst_jax.data.checks.lint import Problems
from dst_jax.data.checks.verify import report_beside
from dst_jax.data.readers import READERS, read_sequences, read_with_report
from dst_jax.errors import InputError
from tests.data.readers.trees import write_frames


@pytest.mark.parametrize("source", ["vott:x", "otb", "otb:", "", ":x"])
def test_an_unknown_layout_is_refused_with_the_known_ones(source):
    with pytest.raises(InputError, match=r"write LAYOUT:DIR, .*got10k.*coco\."):
        read_sequences(source)


@pytest.mark.parametrize("layout", READERS)
def test_a_layout_is_read_by_its_reader(tmp_path, layout):
    gone = tmp_path / "gone"
    with pytest.raises(InputError, match=re.escape(str(gone))):
        read_sequences(f"{layout}:{gone}")


@pytest.mark.parametrize("layout", READERS)
def test_an_empty_folder_is_no_data_set(tmp_path, layout):
    with pytest.raises(InputError, match=re.escape(str(tmp_path))):
        read_with_report(f"{layout}:{tmp_path}", problems=Problems(strict=False))


def test_the_source_is_kept_as_written(tmp_path):
    folder = tmp_path / "Toy"
    folder.mkdir()
    (folder / "groundtruth_rect.txt").write_text("1,1,2,2\n")
    (toy,) = read_sequences(f"otb:{tmp_path}", frames_required=False)
    assert toy.source == f"otb:{tmp_path}"


def test_a_source_in_the_home_folder_is_found_and_kept_as_written(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "otb" / "Toy" / "img").mkdir(parents=True)
    (tmp_path / "otb" / "Toy" / "groundtruth_rect.txt").write_text("1,1,2,2\n")
    write_frames(tmp_path / "otb" / "Toy" / "img", [1])
    (toy,) = read_sequences("otb:~/otb")
    assert toy.source == "otb:~/otb"
    assert toy.frames[0].startswith(str(tmp_path / "otb" / "Toy" / "img"))
    assert report_beside("otb:~/otb") == tmp_path / "otb.verify.json"


def test_a_name_that_comes_twice_is_refused(tmp_path):
    folder = tmp_path / "Toy-1"
    for path in (folder, tmp_path / "Toy"):
        path.mkdir()
    (folder / "groundtruth_rect.txt").write_text("1,1,2,2\n")
    (tmp_path / "Toy" / "groundtruth_rect.1.txt").write_text("1,1,2,2\n")
    source = f"otb:{tmp_path}"
    with pytest.raises(InputError, match="two sequences 'Toy-1'"):
        read_sequences(source, frames_required=False)
    problems = Problems(strict=False)
    found, _ = read_with_report(source, frames_required=False, problems=problems)
    assert [s.name for s in found] == ["Toy-1"]
    assert [(f.kind, f.sequence) for f in problems.faults] == [("name twice", "Toy-1")]
