"""What a run trains on: sequences of its sources, their identity, its patches."""

import hashlib

import numpy as np
from rich.console import Console

from dst_jax.data.pipeline import PatchSpec, read_sources
from dst_jax.data.sequence import Sequence, split_by_video
from dst_jax.experiment import Experiment
from dst_jax.ops.augment import patch_sides


def load_data(
    experiment: Experiment, console: Console
) -> tuple[tuple[Sequence, ...], tuple[Sequence, ...]]:
    """Reads every source, says what was left out, and splits by video.

    Returns:
      Training and held-out sequences.
    """
    sequences, report = read_sources(experiment.data)
    console.print(report.summary(), highlight=False)
    share = experiment.data.validation_share
    return split_by_video(sequences, share=share, seed=experiment.seed)


def data_hash(train_set: tuple[Sequence, ...]) -> str:
    """Identity of the training targets: names, lengths and boxes."""
    digest = hashlib.sha256()
    for sequence in train_set:
        digest.update(
            f"{sequence.source}/{sequence.name}/{len(sequence.frames)}".encode()
        )
        digest.update(np.ascontiguousarray(sequence.boxes, np.float32).tobytes())
    return digest.hexdigest()


def patch_spec(experiment: Experiment) -> PatchSpec:
    """The host patches that serve the widest crop of the configuration."""
    crops = next(iter(experiment.students.values())).input
    template_px, search_px = patch_sides(crops, experiment.augment)
    return PatchSpec(
        template_patch_px=template_px,
        search_patch_px=search_px,
        template_px=crops.template_px,
        context=crops.context,
    )
