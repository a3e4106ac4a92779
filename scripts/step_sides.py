"""Both sides of `bench_step.py`: our step, PyTorch's, and whether they agree."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import torch
from dst_jax.distill.regions import anchors_of
from torch_step import TorchStep, tensor
from torch_terms import Targets, anchor_targets, cell_targets

from dst_jax.arch import RegionHeadSpec, TrackerSpec
from dst_jax.distill import DistillConfig, make_objective
from dst_jax.models import Variables, init_variables
from dst_jax.ops.anchors import head_anchors
from dst_jax.ops.augment import AugmentConfig, augment, patch_sides
from dst_jax.ops.examples import Examples
from dst_jax.train import (
    AXIS_NAME,
    Crops,
    OptimConfig,
    data_parallel,
    init_state,
    make_optimizer,
    make_train_step,
)

SEED = 0
# The gates are held open, so that sharing takes part in check and timing alike.
OPEN = 1e6


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is trained, and how."""

    teacher: TrackerSpec
    students: Mapping[str, TrackerSpec]
    batch: int
    augment: AugmentConfig = AugmentConfig()
    optim: OptimConfig = OptimConfig(momentum=0.9, weight_decay=1e-4, clip_norm=10.0)

    @property
    def distill(self) -> DistillConfig:
        """All terms, at the weights of the papers."""
        radius = 2.0 * self.teacher.backbone.total_stride
        return DistillConfig(label_radius_px=radius, sharing_margin=OPEN)


def host_batch(setting: Setting) -> dict[str, np.ndarray]:
    """Made-up patches: only shapes matter for the time."""
    rng, size = np.random.default_rng(SEED), setting.batch
    sides = patch_sides(setting.teacher.input, setting.augment)
    batch: dict[str, np.ndarray] = {}
    for name, side in zip(("template", "search"), sides, strict=True):
        shape = (size, side, side, 3)
        box = [side / 2, side / 2, 0.3 * sides[0], 0.4 * sides[0]]
        batch[f"{name}_patch"] = rng.integers(0, 256, shape, dtype=np.uint8)
        batch[f"{name}_box"] = np.tile(np.array(box, np.float32), (size, 1))
        batch[f"{name}_fill_rgb"] = np.full((size, 3), 128, np.float32)
    batch["is_negative"] = np.zeros(size, bool)
    batch["mask"] = np.ones(size, np.float32)
    batch["index"] = np.arange(size, dtype=np.int32)
    return batch


@dataclasses.dataclass(frozen=True)
class Ours:
    """Our side: the step, the state before it, and the crops that it cuts."""

    setting: Setting
    teacher: Variables
    state: Any
    step: Callable[..., Any]
    examples: Examples


def make_ours(setting: Setting, batch: Mapping[str, np.ndarray]) -> Ours:
    """Builds the step as training does; nothing is compiled but the crops."""
    tx = make_optimizer(setting.optim, total_steps=10**6)
    crops = Crops(setting.teacher.input, setting.augment, seed=SEED)
    objective = make_objective(
        setting.teacher, setting.students, setting.distill, axis_name=AXIS_NAME
    )
    step = make_train_step(
        objective, tx, crops, steps_per_epoch=10**6, axis_name=AXIS_NAME
    )
    examples = jax.jit(
        lambda b: augment(
            jax.random.split(jax.random.key(SEED))[0],
            b,
            input=crops.input,
            config=crops.augment,
        )
    )(dict(batch))
    teacher = init_variables(jax.random.key(SEED + 1), setting.teacher)
    # A teacher that was never trained normalises by the statistics of this batch.
    probe = TorchStep((setting.teacher, teacher), {}, setting.distill, setting.optim)
    stats = probe.teacher.running_statistics(to_torch(examples.search))
    state = init_state(jax.random.key(SEED), setting.students, tx)
    return Ours(
        setting,
        {"params": teacher["params"], "batch_stats": stats},
        jax.device_get(state),
        data_parallel(step, devices=jax.local_devices()[:1]),
        jax.device_get(examples),
    )


def to_torch(images: Any) -> torch.Tensor:
    """Crops [b, h, w, 3] as [b, 3, h, w]."""
    return tensor(images).permute(0, 3, 1, 2).contiguous()


def make_theirs(
    ours: Ours, *, layout: torch.memory_format = torch.contiguous_format
) -> TorchStep:
    """PyTorch's side, with our weights."""
    state, setting = ours.state, ours.setting
    students = {}
    for name, spec in setting.students.items():
        stats = {"batch_stats": state.batch_stats[name]}
        students[name] = (spec, {"params": state.params[name], **stats})
    return TorchStep(
        (setting.teacher, ours.teacher),
        students,
        setting.distill,
        setting.optim,
        layout=layout,
        device="cuda" if torch.cuda.is_available() else "cpu",
    )


def our_targets(ours: Ours, device: str) -> Targets:
    """What the first step of our side learns, drawn anchors included."""
    spec, config = ours.setting.teacher, ours.setting.distill
    if not isinstance(spec.head, RegionHeadSpec):
        return their_targets(ours.setting, device)(torch.zeros(0))
    key = jax.random.fold_in(jax.random.split(jax.random.key(SEED))[1], 0)
    found = jax.jit(
        lambda e: anchors_of(spec=spec, examples=e, key=key, config=config)
    )(ours.examples)
    arrays = (found.labels, found.deltas, found.weights)
    return Targets(*(tensor(array).to(device) for array in arrays))


def their_targets(setting: Setting, device: str) -> Callable[[torch.Tensor], Targets]:
    """A function from boxes in the crops to PyTorch's own targets."""
    spec, config = setting.teacher, setting.distill
    px, stride = spec.input.train_search_px, spec.backbone.total_stride
    if isinstance(spec.head, RegionHeadSpec):
        grid = tensor(head_anchors(spec, px)).to(device)
        return lambda boxes: anchor_targets(grid, boxes, config.assign)
    side, radius = spec.response_side(px), config.label_radius_px
    fixed = cell_targets(side, stride, radius, setting.batch)
    fixed = Targets(fixed.label.to(device))
    return lambda _: fixed


def compare(ours: Ours, batch: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Relative differences of one step on both sides from the same weights.

    Returns:
      By name: every term of the objective, every student's gradient norm, and every
      student's update of its parameters (relative to the update's norm).
    """
    state, metrics = jax.device_get(ours.step(ours.state, ours.teacher, batch))
    theirs = make_theirs(ours)
    template, search = (
        theirs.place(to_torch(crops))
        for crops in (ours.examples.template, ours.examples.search)
    )
    terms, norms = theirs.learn(template, search, our_targets(ours, theirs.device))
    found = {
        name: _relative(float(metrics.terms[name]), value.item())
        for name, value in terms.items()
    }
    if missing := set(metrics.terms) ^ set(terms):
        raise SystemExit(f"terms on one side only: {sorted(missing)}")
    for name, norm in norms.items():
        found[f"{name}/gradient"] = _relative(
            float(metrics.gradient_norm[name]), norm.item()
        )
        found[f"{name}/update"] = update_difference(
            ours.state.params[name],
            state.params[name],
            theirs.students[name].parameters_like_ours(),
        )
    return found


def update_difference(before: Any, ours: Any, theirs: Any) -> float:
    """Norm of the difference of two updates over the norm of one."""
    gap = jax.tree.map(lambda a, b: a - np.asarray(b), ours, theirs)
    update = jax.tree.map(lambda a, b: np.asarray(b) - a, before, theirs)
    sizes = [
        np.sqrt(sum(np.sum(x**2) for x in jax.tree.leaves(t))) for t in (gap, update)
    ]
    return float(sizes[0] / sizes[1])


def _relative(one: float, other: float) -> float:
    return abs(one - other) / max(abs(other), 1e-12)
