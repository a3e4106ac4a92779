"""The benchmark of the pair loss says what a call costs."""

import math
import types

import jax
import jax.numpy as jnp
import pytest


@pytest.fixture(scope="module")
def bench(script):
    return script("bench_pair")


def test_a_queue_is_waited_for_once_and_its_time_divided(bench, monkeypatch):
    clock, waits = [0.0], []

    def job(seconds):
        clock[0] += seconds
        return seconds

    monkeypatch.setattr(bench.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(jax, "block_until_ready", waits.append)
    jobs = [lambda: job(0.002), lambda: job(0.005)]
    times = bench.shortest(jobs, seconds=0.1, queue=10)
    assert times == pytest.approx([2.0, 5.0])
    rounds = [0.002, 0.005, *[[0.002] * 10, [0.005] * 10] * 3]
    assert waits == rounds  # 0.21 s in three rounds


def test_a_backend_that_tells_no_sizes_gives_nan(bench):
    program = jax.jit(lambda x: jnp.sin(x) @ x).lower(jnp.ones((64, 64))).compile()
    assert bench.megabytes(program) >= 0.0

    def refused():
        raise jax.errors.JaxRuntimeError("not supported")

    for analysis in (lambda: None, refused):
        found = bench.megabytes(types.SimpleNamespace(memory_analysis=analysis))
        assert math.isnan(found)


def test_a_row_per_form_and_the_last_column_only_where_asked(bench, capsys):
    timed = lambda jobs: [1.0 + k for k, _ in enumerate(jobs)]  # noqa: E731
    for with_few in (False, True):
        bench.bench(1, 2, (2, 3), timed=timed, with_few=with_few)
        rows = capsys.readouterr().out.splitlines()
        assert [row.split("|")[3].strip(" *") for row in rows] == [*bench.PAIR_FORMS]
        assert [row.split("|")[4].strip() for row in rows] == [
            "1.000",
            "3.000",
            "5.000",
        ]
        assert {len(row.split("|")) - 2 for row in rows} == {7 + with_few}
