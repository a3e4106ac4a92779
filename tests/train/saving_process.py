"""One of two processes: python -m tests.train.saving_process NUMBER PORT FOLDER.

Counts steps instead of training. The disk is full from the second checkpoint on, which
process 0 alone notices, in the background; each process prints what ended it.
"""

import itertools
import pathlib
import sys
import time

import jax
import numpy as np

from dst_jax.train import Checkpoints, Constants, LoopConfig, Run, fit, this_pod
from dst_jax.train.step import StepMetrics
from tests.train.test_checkpoint import snapshot

EVERY, STEPS = 20, 1000


def step(state, constants, batch):
    del constants, batch
    time.sleep(0.01)
    metrics = StepMetrics(np.float32(1.0), {}, {}, {})
    return state._replace(step=state.step + np.int32(1)), metrics


class Full(Checkpoints):
    """The disk is full after the first."""

    def save(self, snapshot, *, losses=None):
        if int(snapshot.state.step) > EVERY:
            time.sleep(0.05)
            raise OSError(28, "No space left on device", "c/40")
        super().save(snapshot, losses=losses)


def main(number, port, folder):
    jax.config.update("jax_num_cpu_devices", 1)
    jax.distributed.initialize(f"127.0.0.1:{port}", 2, number)
    pod, reached = this_pod(), []
    run = Run(
        step=step,
        constants=Constants(),
        batches=itertools.repeat({}),
        validate=None,
        total_steps=STEPS,
        steps_per_epoch=10,
        batch=4,
        checkpoints=Full(folder / "c", config_hash="abc") if pod.writes else None,
        tick=lambda at, values: reached.append(at),
        pod=pod,
    )
    try:
        fit(snapshot(0), run, LoopConfig(log_every=STEPS, checkpoint_every=EVERY))
    except Exception as error:
        print(f"ended after step {reached[-1]}: {type(error).__name__}: {error}")
    jax.distributed.shutdown()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]), pathlib.Path(sys.argv[3]))
