"""One process of a run: python -m tests.train.process NUMBER PROCESSES PORT FOLDER.

Trains two steps, saves, and goes on from the checkpoint to the third; process NUMBER
leaves what it holds in FOLDER/NUMBER.npz.
"""

import itertools
import pathlib
import sys

import jax
import numpy as np

from dst_jax.train import (
    Checkpoints,
    Constants,
    LoopConfig,
    Run,
    Snapshot,
    first_best,
    fit,
    of_first,
    this_pod,
)
from tests import networks
from tests.train import setting

LOOP = LoopConfig(log_every=1, checkpoint_every=1)
BATCH, STEPS, FIRST_STEPS = 4, 3, 2


def batches(start, number, processes):
    """This process's share of every global batch, as `train_batches` deals it out."""
    share = slice(number, None, processes)
    for step in itertools.count(start):
        whole = setting.make_batch(step, size=BATCH)
        yield {name: array[share] for name, array in whole.items()}


def validate(variables):
    """A function of the weights alone, the same in every process."""
    kernels = {
        name: np.asarray(value["params"]["backbone"]["conv1"]["conv"]["kernel"])
        for name, value in variables.items()
    }
    return {f"val/{name}/gt": float(kernel.std()) for name, kernel in kernels.items()}


def train(folder, number, processes):
    """The snapshot after all steps and what was reported."""
    step, rows = setting.make_step(devices=None), []

    def run(snapshot, total):
        pod, checkpoints, restored = this_pod(), None, None
        if pod.writes:
            checkpoints = Checkpoints(folder / "checkpoints", config_hash="abc")
            restored = checkpoints.restore(snapshot)
        restored = of_first(pod, restored, snapshot)
        if total == STEPS:
            snapshot = restored
            assert int(snapshot.state.step) == FIRST_STEPS
        done = fit(
            snapshot,
            Run(
                step=step,
                constants=Constants(networks.teacher_variables()),
                batches=batches(int(snapshot.state.step), number, processes),
                validate=validate,
                total_steps=total,
                steps_per_epoch=10,
                batch=BATCH,
                checkpoints=checkpoints,
                report=lambda at, values: rows.append((at, dict(values))),
                pod=pod,
            ),
            LOOP,
        )
        if checkpoints:
            checkpoints.close()
        return done

    def start():
        state = setting.fresh_state()
        return Snapshot(state, first_best(state))

    run(start(), FIRST_STEPS)
    return run(start(), STEPS), rows


def main(number, processes, port, folder):
    jax.config.update("jax_num_cpu_devices", 1)
    if processes > 1:
        jax.distributed.initialize(f"127.0.0.1:{port}", processes, number)
        assert jax.process_count() == processes
    assert jax.device_count() == processes and jax.local_device_count() == 1
    snapshot, rows = train(folder, number, processes)
    leaves = jax.tree_util.tree_leaves_with_path(snapshot)
    arrays = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}
    losses = [values["loss"] for _, values in rows if "loss" in values]
    np.savez(folder / f"{number}.npz", losses=losses, **arrays)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]), pathlib.Path(sys.argv[4]))
