"""Reads the data of a run and chooses its patches."""

import os
from collections.abc import Iterator

import numpy as np
from rich.console import Console

from dst_jax.arch import InputSpec, TrackerSpec, widest
from dst_jax.data.packs.packed import is_packed, open_pack
from dst_jax.data.patches import PatchSpec, RolePatch
from dst_jax.data.pipeline import DataConfig, read_sources
from dst_jax.data.sequence import Sequence, split_by_video
from dst_jax.digests import parts_sha256
from dst_jax.distill import needs_teacher
from dst_jax.errors import InputError
from dst_jax.experiment import Experiment
from dst_jax.ops.augment import patch_sides
from dst_jax.workflows.demo_video import make_missing_video
from dst_jax.workflows.printing import say
from dst_jax.workflows.progress import waiting


def load_data(
    experiment: Experiment, console: Console
) -> tuple[tuple[Sequence, ...], tuple[Sequence, ...]]:
    """Reads every source, prints what was left out, and splits by video.

    Args:
      experiment: Its `data` and `seed` are read.
      console: Console for the summary.

    Returns:
      Training and held-out sequences.

    Raises:
      InputError: If a source is faulty.
    """
    make_missing_video(experiment.data.sources, console)
    with waiting(console, "reading the data"):
        sequences, report = read_sources(experiment.data)
    say(console, *report.summary().splitlines())
    share = experiment.data.validation_share
    return split_by_video(sequences, share=share, seed=experiment.seed)


def data_hash(train_set: tuple[Sequence, ...]) -> str:
    """Returns the SHA-256 of names, lengths and boxes of the training sequences."""

    def parts() -> Iterator[bytes]:
        for sequence in train_set:
            count = len(sequence.frames)
            yield f"{sequence.source}/{sequence.name}/{count}".encode(
                errors="surrogatepass"
            )
            yield np.ascontiguousarray(sequence.boxes, np.float32).tobytes()

    return parts_sha256(parts())


def widest_input(
    experiment: Experiment, *, teacher: TrackerSpec | None = None
) -> InputSpec:
    """Returns the input that a run's crops are cut for, which serves every network.

    Args:
      experiment: Its `students` are read.
      teacher: The teacher, if there is one.

    Raises:
      InputError: If the networks cannot be served from the same crops.
    """
    inputs = {name: spec.input for name, spec in experiment.students.items()}
    if teacher is not None and needs_teacher(experiment.students, experiment.distill):
        inputs["the teacher"] = teacher.input
    return widest(inputs)


def patch_spec(
    experiment: Experiment, *, teacher: TrackerSpec | None = None
) -> PatchSpec:
    """Returns the host patches that serve the widest crops of a run.

    Args:
      experiment: Its `students` and `augment` are read.
      teacher: The teacher, if there is one.

    Raises:
      InputError: If the networks cannot be served from the same crops, or the settings
        draw windows otherwise than the networks need.
    """
    crops = widest_input(experiment, teacher=teacher)
    _require_windows(experiment, crops)
    template_px, search_px = patch_sides(crops, experiment.augment)
    return _patches(crops, template_px, search_px)


def pack_spec(experiment: Experiment) -> PatchSpec:
    """Returns the patches that a pack for a run holds.

    Windows that the host draws have no widest one. The pack holds twice the window that
    has no spread, and what rounding to whole pixels adds to the template.

    Args:
      experiment: Its `students`, `augment` and `data` are read.

    Raises:
      InputError: If the networks cannot be served from the same crops.
    """
    spec = patch_spec(experiment)
    if experiment.data.windows is None:
        return spec
    template_px = spec.template.patch_px
    margin = 2 * -(-template_px // 8)
    crops = widest_input(experiment)
    return _patches(crops, template_px + margin, 2 * spec.search.patch_px)


def _patches(crops: InputSpec, template_px: int, search_px: int) -> PatchSpec:
    return PatchSpec(
        template=RolePatch(template_px, crops.zooms.template),
        search=RolePatch(search_px, crops.zooms.search),
    )


def _require_windows(experiment: Experiment, crops: InputSpec) -> None:
    """Checks that the host draws windows for networks of one stream, and can.

    Raises:
      InputError: If it does not, or the step would move them too.
    """
    one_stream = [
        s.head.family for s in experiment.students.values() if s.head.one_stream
    ]
    if experiment.data.windows is None:
        if not one_stream:
            return
        raise InputError(
            f"DataConfig.windows: {one_stream[0]} is trained on windows that the host "
            "draws; give a WindowConfig, such as that of configs/loretrack.py."
        )
    if crops.area is None:
        raise InputError(
            "DataConfig.windows is for networks whose crops follow the target's area "
            "(OSTrack); leave it out."
        )
    augment = experiment.augment
    stretches = augment.stretch, augment.scale, augment.search_stretch or 0.0
    if any((*stretches, augment.template_shift_px, augment.search_shift_px)):
        raise InputError(
            "AugmentConfig: stretch, scale and shifts must be 0 where the host draws "
            "windows (DataConfig.windows)."
        )


def require_memory(data: DataConfig, patch: PatchSpec) -> None:
    """Checks that the batches that wait for their step fit into this machine.

    Args:
      data: Its `batch` and `prefetch` are read.
      patch: Sizes of the patches.

    Raises:
      InputError: If they do not; otherwise the system would end the process unsaid.
    """
    pair = 3 * (patch.template.patch_px**2 + patch.search.patch_px**2)
    need = float(pair) * data.batch * (max(data.prefetch, data.threads) + 1)
    have = float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES")
    if need > have:
        raise InputError(
            f"DataConfig.batch={data.batch}, prefetch={data.prefetch}, threads="
            f"{data.threads}: waiting batches take {need / 1e9:,.0f} GB, and this "
            f"machine has {have / 1e9:,.0f}; lower one of them."
        )


def require_packs(data: DataConfig, patch: PatchSpec) -> None:
    """Checks that every pack among the sources has patches as large as a run needs.

    Args:
      data: Its `sources` are read.
      patch: Sizes of the patches.

    Raises:
      InputError: If one serves smaller ones, or is no pack.
    """
    for source in filter(is_packed, data.sources):
        open_pack(source).check_serves(patch)
