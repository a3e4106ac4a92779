"""What a run trains on: sequences of its sources, their identity, its patches."""

from collections.abc import Iterator

import numpy as np
from rich.console import Console

from dst_jax.data.pipeline import PatchSpec, read_sources
from dst_jax.data.sequence import Sequence, split_by_video
from dst_jax.experiment import Experiment
from dst_jax.files import parts_sha256
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

    def parts() -> Iterator[bytes]:
        for sequence in train_set:
            count = len(sequence.frames)
            yield f"{sequence.source}/{sequence.name}/{count}".encode()
            yield np.ascontiguousarray(sequence.boxes, np.float32).tobytes()

    return parts_sha256(parts())


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
