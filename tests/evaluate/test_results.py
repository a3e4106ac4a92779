"""Result files of others: separators, origins, and everything that can be wrong."""

import numpy as np
import pytest

from dst_jax.errors import InputError
from dst_jax.evaluate import results
from dst_jax.evaluate.result_folders import find_results

ROWS = "1,2,10,20\n3,4,10,20\n"
WANT = [[5.0, 11.0, 10.0, 20.0], [7.0, 13.0, 10.0, 20.0]]  # of ROWS, 1-based


def read(folder, frames):
    return results.read_results(find_results(folder, frames), frames, origin=1)


@pytest.mark.parametrize(
    "text", [ROWS, ROWS.replace(",", "\t"), ROWS.replace(",", " ")]
)
@pytest.mark.parametrize("ending", ["", "\n\n", "\r\n"])
def test_comma_tab_and_space_are_read_alike(tmp_path, text, ending):
    file = tmp_path / "a.txt"
    file.write_bytes((text + ending).encode())
    got = results.read_boxes(file, origin=1, frames=2)
    assert got.dtype == np.float64
    assert got.tolist() == WANT


def test_the_origin_moves_boxes_by_one_pixel(tmp_path):
    (tmp_path / "a.txt").write_text(ROWS)
    got = results.read_boxes(tmp_path / "a.txt", origin=0)
    assert got.tolist() == [[6.0, 12.0, 10.0, 20.0], [8.0, 14.0, 10.0, 20.0]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "1,2,3,4\n1,nan,3,4\n1,1,1,1\n",
            r"a\.txt line 2: box 1,nan,3,4 is not finite",
        ),
        ("1,2,3,4\n1,2,inf,4\n1,1,1,1\n", r"a\.txt line 2: .*not finite"),
        ("1,2,3,4\n1,2,3\n1,1,1,1\n", r"a\.txt line 2: '1,2,3' is not 4 numbers"),
        ("1,2,3,4\n\n1,1,1,1\n", r"a\.txt line 2: '' is not 4 numbers"),
        ("1,2,3,4\nx,2,3,4\n1,1,1,1\n", r"a\.txt line 2: 'x,2,3,4' is not 4 numbers"),
        ("1,2,3,4\n1,2,3,4\n", r"a\.txt ends at line 2, but .* 3 frames"),
        ("1,2,3,4\n" * 5, r"a\.txt goes on at line 4, but .* 3 frames"),
        ("", r"a\.txt is empty"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(tmp_path, text, message):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        read(tmp_path, {"a": 3})


def test_missing_files_are_listed_with_the_nearest_spelling(tmp_path):
    (tmp_path / "human4_2.txt").write_text(ROWS)
    with pytest.raises(
        InputError, match=r"2 sequences Human4-2 \(did you mean human4_2"
    ):
        read(tmp_path, {"Human4-2": 2, "Dog": 2})
    with pytest.raises(InputError, match="does not exist"):
        read(tmp_path / "none", {"Dog": 2})


def test_what_is_written_is_read_back(tmp_path):
    boxes = np.random.default_rng(0).uniform(1, 300, (9, 4)).astype(np.float32)
    results.write_results(
        tmp_path / "out" / "x", {"a": boxes, "b": boxes[:2]}, origin=1
    )
    got = read(tmp_path / "out" / "x", {"a": 9, "b": 2})
    np.testing.assert_allclose(got["a"], boxes, atol=2e-4)  # four decimals
    np.testing.assert_allclose(got["b"], boxes[:2], atol=2e-4)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["x"]


def test_files_are_in_the_origin_asked_for(tmp_path):
    results.write_results(tmp_path / "x", {"a": np.array(WANT)}, origin=1)
    assert (tmp_path / "x" / "a.txt").read_text().splitlines()[0] == (
        "1.0000,2.0000,10.0000,20.0000"
    )


def test_a_fault_half_way_leaves_nothing(tmp_path):
    bad = {"a": np.array(WANT), "b": np.full((2, 4), np.nan)}
    with pytest.raises(ValueError, match="not finite"):
        results.write_results(tmp_path / "x", bad, origin=1)
    assert list(tmp_path.iterdir()) == []


def test_results_are_never_overwritten(tmp_path):
    (tmp_path / "empty").mkdir()
    results.write_results(tmp_path / "empty", {"a": np.array(WANT)}, origin=1)
    with pytest.raises(InputError, match="already holds something"):
        results.write_results(tmp_path / "empty", {"a": np.array(WANT)}, origin=1)


def test_boxes_as_written_are_exactly_those_of_the_file(tmp_path):
    boxes = np.random.default_rng(1).uniform(1, 300, (9, 4)).astype(np.float32)
    results.write_results(tmp_path / "x", {"a": boxes}, origin=1)
    got = results.as_written(boxes, origin=1)
    assert not np.array_equal(got, boxes)
    np.testing.assert_array_equal(
        got, results.read_boxes(tmp_path / "x" / "a.txt", origin=1)
    )
