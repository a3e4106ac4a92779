"""Lines of metrics: strict JSON, those of steps taken again removed, none believed."""

import json
import pathlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dst_jax.errors import InputError
from dst_jax.train import MetricWriter, read_metrics
from dst_jax.train.writers import drop_after


def test_the_log_forgets_steps_that_are_taken_again(tmp_path):
    writer = MetricWriter(tmp_path)
    for number in (1, 2, 3):
        writer.write(number, {"loss": float(number)})
    writer.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')  # a crash in the middle of a line
    writer = MetricWriter(tmp_path, step=2)
    writer.write(3, {"loss": 30.0})
    writer.close()
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert [row["loss"] for row in rows] == [1.0, 2.0, 30.0]
    assert json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])


def test_a_number_that_is_no_json_is_not_written(tmp_path):
    writer = MetricWriter(tmp_path)
    with pytest.raises(ValueError):
        writer.write(1, {"loss": float("nan")})
    writer.close()
    assert (tmp_path / "metrics.jsonl").read_text() == ""


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"null",
        b"[1]",
        b'"text"',
        b'{"loss": 1.0}',
        b'{"step": "2"}',
        b'{"step": 2.0}',
        b'{"step": true}',
        b'{"step": -1}',
        b'{"step": 2, "loss": NaN}',
        b'{"step": 2, "loss": 1e999}',
        b'{"step": 2, "loss": null}',
        b'{"step": 2, "loss": "1.0"}',
        b'{"step": 2, "loss": {"a": 1}}',
        b'{"step": 2, "loss": ' + b"9" * 400 + b"}",
        b'{"step": 2, "loss": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b"\xff\xfe{}",
    ],
    ids=range(19),
)
def test_a_bad_line_is_named_by_its_number(tmp_path, line):
    path = tmp_path / "metrics.jsonl"
    content = b'{"step": 1}\n' + line + b'\n{"step": 3}\n'
    path.write_bytes(content)
    for call in (read_metrics, lambda path: drop_after(path, 1)):
        with pytest.raises(InputError, match=r"metrics.jsonl, line 2: .*remove this"):
            call(path)
    assert path.read_bytes() == content


@settings(max_examples=200, deadline=None)
@given(
    position=st.integers(0, 93),
    bits=st.integers(1, 255),
    tail=st.binary(max_size=20),
)
def test_damaged_metrics_are_values_or_one_error(
    tmp_path_factory, position, bits, tail
):
    path = tmp_path_factory.getbasetemp() / "metrics.jsonl"
    rows = [{"step": n, "loss": 0.5 * n, "gate/dull": 1.0} for n in (1, 2)]
    good = "".join(json.dumps(row) + "\n" for row in rows).encode()
    broken = bytearray(good)
    broken[position % len(broken)] ^= bits
    pathlib.Path(path).write_bytes(bytes(broken) + tail)
    try:
        found = read_metrics(path)
    except InputError as error:
        assert "\n" not in str(error)
        return
    for row in found:
        assert isinstance(row["step"], int)
        assert all(isinstance(value, int | float) for value in row.values())
