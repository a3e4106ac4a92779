"""Several processes, as on the hosts of a pod: on loopback, one device each."""

import os
import pathlib
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def launch(folder, processes):
    """Starts the processes of one run."""
    folder.mkdir()
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    port = free_port()
    return [
        subprocess.Popen(
            [sys.executable, "-m", "tests.train.process"]
            + [str(word) for word in (number, processes, port, folder)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(processes)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Holds what one process and two processes made of the same training."""
    made = tmp_path_factory.mktemp("processes")
    runs = launch(made / "one", 1) + launch(made / "two", 2)
    try:
        for process in runs:
            printed, _ = process.communicate(timeout=300)
            assert process.returncode == 0, printed[-3000:]
    finally:
        for process in runs:
            process.kill()
            process.wait()
    return made


def arrays(path):
    with np.load(path) as file:
        return dict(file)


def test_both_processes_hold_the_same_state_bit_for_bit(folder):
    first, second = (arrays(folder / "two" / f"{i}.npz") for i in (0, 1))
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(second[name], value, err_msg=name)


def test_two_processes_take_the_steps_that_one_takes(folder):
    one, two = (arrays(folder / run / "0.npz") for run in ("one", "two"))
    assert one.keys() == two.keys() and two[".state.step"] == 3
    np.testing.assert_allclose(two["losses"], one["losses"], rtol=1e-5)
    learnt = [n for n in one if n.startswith((".state.params", ".state.batch_stats"))]
    assert len(learnt) > 20
    for name in learnt + [n for n in one if n.startswith(".best")]:
        # A bias before a normalisation has no gradient but rounding.
        scale = max(np.abs(one[name]).max(), 1e-3)
        difference = np.abs(two[name] - one[name]).max() / scale
        assert difference <= 1e-5, f"{name} differs by {difference}"


def test_a_checkpoint_is_written_once_for_all_processes(folder):
    for run in ("one", "two"):
        steps = sorted(p.name for p in (folder / run / "checkpoints").iterdir())
        assert steps == ["2", "3"]
    writers = (folder / "two" / "checkpoints").glob("*/snapshot/ocdbt.process_*")
    assert {path.name for path in writers} == {"ocdbt.process_0"}
