"""Ends of runs whose second phase begins within: uninterrupted, and cut and resumed."""

import itertools

import jax
import numpy as np

from dst_jax.train import Checkpoints, Later, LoopConfig, Run, Snapshot, first_best, fit

LOOP = LoopConfig(log_every=1, checkpoint_every=1)


def assert_same_bits(one, two):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def run_of(steps, constants, *, thaw, begin=lambda state: state, total=4):
    """A run of two steps, each for a phase, that has no batches yet."""
    return Run(
        step=steps[0],
        constants=constants,
        batches=iter(()),
        validate=None,
        total_steps=total,
        steps_per_epoch=10,
        batch=4,
        later=[Later(thaw, steps[1], begin)],
    )


def both_ends(folder, run, *, first_state, make_batch, cut):
    """The snapshots at a run's end: uninterrupted, and cut after `cut` steps.

    Args:
      folder: For the checkpoints.
      run: The run, without batches.
      first_state: Returns the state before the first step.
      make_batch: Returns the batch of a step.
      cut: Number of steps of the part that is resumed.
    """

    def start():
        state = first_state()
        return Snapshot(state, first_best(state))

    def part(name, *, first=0, total=run.total_steps):
        return run._replace(
            batches=map(make_batch, itertools.count(first)),
            checkpoints=Checkpoints(folder / name, config_hash="abc"),
            total_steps=total,
        )

    whole = fit(start(), part("whole"), LOOP)
    fit(start(), part("cut", total=cut), LOOP)
    again = part("cut", first=cut)
    restored = again.checkpoints.restore(start())
    assert int(restored.state.step) == cut
    return whole, fit(restored, again, LOOP)
