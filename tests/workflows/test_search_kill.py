"""A search whose process is killed goes on to the same ledger."""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import jax
import pytest

from dst_jax.bundle import Bundle, save_bundle
from dst_jax.data.synthetic.dataset import SyntheticConfig, write_synthetic
from dst_jax.models import init_variables
from dst_jax.track.config import SiamFCTracking
from tests import networks

pytestmark = [pytest.mark.optax, pytest.mark.slow]

ROOT = pathlib.Path(__file__).parents[2]
CONFIG = """
from dst_jax.data.pipeline import DataConfig
from dst_jax.experiment import Experiment
from dst_jax.search import SearchConfig
from tests import networks, objectives


def experiment():
    return Experiment(
        networks.STUDENTS,
        DataConfig(("got10k:{data}",), threads=0, validation_share=0.34),
        **objectives.TINY._asdict(),
        search=SearchConfig(
            steps=5, candidates=2, min_width=2, pairs=8, epochs=4.0, batch=2,
            validation_pairs=4,
        ),
    )
"""


@pytest.fixture
def command(tmp_path):
    """The words of a tiny search, less its folder."""
    data, config, teacher = (tmp_path / name for name in ("data", "tiny.py", "teacher"))
    sizes = SyntheticConfig(videos=6, length=6, height=90, width=120)
    write_synthetic(data, sizes, seed=0)
    config.write_text(CONFIG.format(data=data))
    variables = init_variables(jax.random.key(0), networks.TEACHER)
    save_bundle(Bundle(networks.TEACHER, variables, SiamFCTracking(), {}), teacher)
    words = ["search", str(config), "--teacher", str(teacher)]
    return [sys.executable, "-m", "dst_jax.command.main", *words]


def start(command, workdir):
    cache = str(jax.config.jax_compilation_cache_dir)
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": cache,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    return subprocess.Popen(
        [*command, "--workdir", str(workdir)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(command, workdir):
    process = start(command, workdir)
    try:
        printed, _ = process.communicate(timeout=900)
    finally:
        process.kill()
    assert process.returncode == 0, printed[-3000:]
    return printed


def wait_for_steps(process, ledger):
    """Until the first step is on the disk."""
    for _ in range(90_000):
        assert process.poll() is None, process.stdout.read()[-3000:]
        if ledger.exists() and ledger.stat().st_size:
            return
        time.sleep(0.01)
    raise AssertionError("no step within 900 s")


# Digests stand for the seconds too, which no two runs share.
TIMED = {"seconds", "digest", "ledger"}


def untimed(file):
    """The objects of a file, without what depends on time."""
    text = file.read_text()
    lines = text.splitlines() if file.suffix == ".jsonl" else [text]
    return [
        {name: value for name, value in json.loads(line).items() if name not in TIMED}
        for line in lines
    ]


def test_a_search_killed_at_any_moment_goes_on_to_the_same_ledger(command, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = start(command, whole)
    wait_for_steps(process, whole / "ledger.jsonl")
    began = time.perf_counter()
    printed, _ = process.communicate(timeout=900)
    assert process.returncode == 0, printed[-3000:]
    # From the end of the first step to the last bytes that a search writes.
    moment = random.uniform(0.0, time.perf_counter() - began)
    process = start(command, killed)
    wait_for_steps(process, killed / "ledger.jsonl")
    time.sleep(moment)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    left = (killed / "ledger.jsonl").read_text()
    print(f"killed {moment:.3f} s after the first step: {left.count(chr(10))} lines")
    finish(command, killed)
    assert (killed / "ledger.jsonl").read_text().startswith(left[: left.rfind("\n")])
    for name in ("ledger.jsonl", "student.json", "search.json"):
        assert untimed(killed / name) == untimed(whole / name)
