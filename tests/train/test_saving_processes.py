"""A checkpoint that fails in the background of one process ends all of them."""

import os
import re
import socket
import subprocess
import sys

from dst_jax.train import saved_steps
from tests.train.saving_process import EVERY
from tests.train.test_processes import ROOT


def test_a_full_disk_of_the_first_process_ends_both_after_the_same_step(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.train.saving_process"]
            + [str(word) for word in (number, port, tmp_path)],
            cwd=ROOT,
            env=os.environ | {"JAX_PLATFORMS": "cpu"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in (0, 1)
    ]
    first, second = (process.communicate(timeout=120)[0] for process in processes)
    assert "OSError: [Errno 28] No space left on device: 'c/40'" in first
    assert "StoppedElsewhere: process 0 failed while saving a checkpoint" in second
    steps = {re.search(r"ended after step (\d+)", text)[1] for text in (first, second)}
    assert len(steps) == 1 and int(*steps) < 3 * EVERY
    assert saved_steps(tmp_path / "c") == [EVERY]
