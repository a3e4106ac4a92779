"""Result files of any content: boxes, or one line that names the file."""

import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dst_jax.errors import InputError
from dst_jax.evaluate import OTB, score_sequence
from dst_jax.evaluate.results import read_boxes
from tests.data.readers.test_broken_files import damage, damaged

ROWS = b"1,2,10,20\n3,4,10,20\n5,5,10,20\n"
TRUTH = np.array([[5.0, 11.0, 10.0, 20.0]] * 3)
NUMBER = st.one_of(
    st.floats(), st.integers(), st.sampled_from(["1e999", "-0", "1_0", "0x1", "\u0663"])
)
LINE = st.lists(NUMBER.map(str), min_size=3, max_size=5).map(",".join)
CONTENT = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.lists(LINE, min_size=2, max_size=4).map(lambda ls: "\n".join(ls).encode()),
    damage().map(lambda steps: damaged(ROWS, steps)),
)


def outcome(file):
    """The boxes of a file, or None if it was refused in one line with its name."""
    try:
        return read_boxes(file, origin=1, frames=3)
    except InputError as error:
        assert file.name in str(error) and "\n" not in str(error)
        return None


@settings(
    max_examples=300,
    deadline=2000,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(content=CONTENT)
def test_any_bytes_are_boxes_that_can_be_scored_or_one_line(tmp_path, content):
    file = tmp_path / "a.txt"
    file.write_bytes(content)
    boxes = outcome(file)
    if boxes is not None:
        assert boxes.shape == (3, 4) and np.isfinite(boxes).all()
        assert 0.0 <= score_sequence(boxes, TRUTH, OTB).values["success_auc"] <= 20 / 21


@pytest.mark.parametrize(
    "content",
    [b"1,2,3,4\n" * 3_000_000, b"1," * 8_000_000, b"9" * 500_000, b"\0" * 20_000_000],
)
def test_a_huge_file_is_refused_at_once(tmp_path, content):
    (tmp_path / "a.txt").write_bytes(content)
    start = time.perf_counter()
    assert outcome(tmp_path / "a.txt") is None
    assert time.perf_counter() - start < 1.0
