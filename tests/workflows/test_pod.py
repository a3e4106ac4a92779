"""Several processes train as one: by the command line, on loopback."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from dst_jax.arch import spec_to_json
from dst_jax.bundle import load_bundle
from dst_jax.data.synthetic.dataset import SyntheticConfig, write_synthetic
from dst_jax.files import write_json
from tests import networks
from tests.train.test_processes import free_port

pytestmark = pytest.mark.optax
slow = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]
STEPS = 24
SAID = rf"stopped at step (\d+) of {STEPS}"
# Batches of 4; a checkpoint at every step.
SHORT = (
    "--data.batch 4 --data.validation_share 0.34 --data.threads 1 --augment.flip 0.5 "
    f"--optim.pairs_per_epoch {2 * STEPS} --optim.epochs 2 --loop.log_every 1 "
    "--optim.learning_rate 0.01 "
    "--loop.checkpoint_every 1 --loop.validate_every 6"
).split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with video and with the description of a tiny network."""
    made = tmp_path_factory.mktemp("pod")
    config = SyntheticConfig(videos=6, length=6, height=90, width=120)
    write_synthetic(made / "train", config, seed=0)
    write_json(made / "tiny.json", spec_to_json(networks.TEACHER))
    return made


def start(folder, workdir, *, processes=1, devices=1, options=(), own=None):
    """Starts the processes of one run; `own` has further options by process."""
    port = free_port()
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "PYTHONUNBUFFERED": "1",
    }
    words = [sys.executable, "-m", "dst_jax.command.main", "train", "demo_teacher"]
    words += ["--workdir", workdir, "--student", "teacher=tiny.json"]
    words += ["--data.sources", "got10k:train", *SHORT, *options]
    found = []
    for number in range(processes):
        joined = f"--coordinator 127.0.0.1:{port} --processes {processes}".split()
        joined += ["--process-id", str(number)]
        found.append(
            subprocess.Popen(
                [
                    *words,
                    *(joined if processes > 1 else ()),
                    *(own or {}).get(number, ()),
                ],
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    return found


def ends(runs):
    """Exit codes and what was printed, of every process."""
    try:
        printed = [run.communicate(timeout=300)[0] for run in runs]
    finally:
        for run in runs:
            run.kill()
            run.wait()
    return [run.returncode for run in runs], printed


def finish(folder, workdir, **how):
    codes, printed = ends(start(folder, workdir, **how))
    assert codes == [0] * len(codes), printed
    return printed


def weights(folder, workdir):
    variables = load_bundle(folder / workdir / "bundles" / "teacher").variables
    leaves = jax.tree_util.tree_leaves_with_path(dict(variables))
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def distance(one, two):
    """The largest difference of an array, relative to its largest number."""
    assert one.keys() == two.keys()
    return max(
        np.abs(two[name] - one[name]).max() / max(np.abs(one[name]).max(), 1e-3)
        for name in one
    )


@pytest.fixture(scope="module")
def one(folder):
    """The weights that one process with two devices trains."""
    finish(folder, "one", devices=2)
    return weights(folder, "one")


@slow
def test_two_processes_train_what_one_trains_with_their_devices(folder, one):
    printed = finish(folder, "two", processes=2)
    # Two processes deal the examples out in turn, two devices in halves, so that sums
    # of 24 steps are rounded otherwise.
    assert distance(one, weights(folder, "two")) <= 1e-5
    # The first alone speaks and writes.
    assert "bundles/teacher" in printed[0] and "train" not in printed[1]


@slow
def test_four_processes_train_what_one_trains(folder, one):
    finish(folder, "four", processes=4)
    assert distance(one, weights(folder, "four")) <= 1e-5


@pytest.fixture(scope="module")
def stopped(folder):
    """Exit codes and words of two processes, of which the second got a signal."""
    runs = start(folder, "stopped", processes=2)
    while not any((folder / "stopped" / "checkpoints").glob("[0-9]*")):
        assert runs[0].poll() is None, runs[0].stdout.read()
        time.sleep(0.02)
    runs[1].send_signal(signal.SIGTERM)
    return ends(runs)


def test_a_signal_to_one_process_ends_both_with_a_checkpoint(folder, stopped):
    codes, printed = stopped
    assert codes == [143, 143], printed
    said = {step for text in printed for step in re.findall(SAID, text)}
    (step,) = said
    assert (folder / "stopped" / "checkpoints" / step).is_dir()


@slow
@pytest.mark.parametrize(("processes", "devices"), [(1, 2), (2, 1), (4, 1)])
def test_what_two_saved_goes_on_with_other_numbers(
    folder, one, stopped, processes, devices
):
    workdir = f"on-{processes}"
    shutil.copytree(folder / "stopped", folder / workdir)
    printed = finish(folder, workdir, processes=processes, devices=devices)
    assert "goes on at step" in printed[0]
    assert distance(one, weights(folder, workdir)) <= 1e-5


@slow
def test_the_launcher_starts_one_run_of_several_processes(folder, one):
    words = ["dst_jax.command.main", "train", "demo_teacher", "--workdir", "launched"]
    words += ["--student", "teacher=tiny.json", "--data.sources", "got10k:train"]
    script = [sys.executable, ROOT / "scripts" / "launch_local.py", "--processes", "2"]
    done = subprocess.run(
        [*script, "--", sys.executable, "-m", *words, *SHORT],
        cwd=folder,
        env=os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0: metrics: launched/metrics.jsonl" in done.stdout
    assert distance(one, weights(folder, "launched")) <= 1e-5


@slow
def test_three_commands_of_the_page_train_with_four_processes(tmp_path):
    page = (ROOT / "docs" / "pods.md").read_text()
    block = page.split("## Four processes on this machine")[1].split("```")[1]
    lines = block.removeprefix("bash\n").replace("\\\n", "").strip().splitlines()
    # The first makes the environment, for which stands the one of the tests.
    assert len(lines) == 3 and lines[0].startswith("make ")
    for name, words in (("python", ""), ("dst-jax", "-m dst_jax.command.main")):
        (tmp_path / name).write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
        (tmp_path / name).chmod(0o755)
    (tmp_path / "scripts").symlink_to(ROOT / "scripts")
    paths = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    for line in lines[1:]:
        done = subprocess.run(
            line,
            shell=True,
            cwd=tmp_path,
            env=os.environ | paths | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""},
            capture_output=True,
            text=True,
            timeout=1200,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert "0: teacher: runs/pod/bundles/teacher" in done.stdout
    rows = (tmp_path / "runs" / "pod" / "metrics.jsonl").read_text().splitlines()
    # An epoch of 1,600 pairs in batches of 16.
    assert json.loads(rows[-1])["step"] == 100


@slow
def test_processes_with_other_data_are_refused_by_all(folder):
    codes, printed = ends(
        start(folder, "other", processes=2, own={1: ["--data.validation_share", "0.5"]})
    )
    assert codes == [2, 2]
    line = "process 1 has other configuration and training data than process 0;"
    assert all(line in text for text in printed), printed


@slow
def test_what_fails_in_one_process_ends_the_others(folder):
    (folder / "file").touch()
    codes, printed = ends(start(folder, "file", processes=2))
    assert codes == [2, 2]
    assert "file is no folder; name another place." in printed[0]
    assert (
        "process 0 failed while reading what the run computes from; see its own line."
        in printed[1]
    )
