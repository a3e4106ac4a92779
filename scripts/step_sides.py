"""Both sides of `bench_step.py`: our step, PyTorch's, and whether they agree."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import torch
from torch_step import TorchStep, tensor
from torch_terms import Targets, anchor_targets, cell_targets

from dst_jax.arch import RegionHeadSpec, TrackerSpec
from dst_jax.distill import (
    DistillConfig,
    LabelConfig,
    Response,
    Setting,
    Sharing,
    make_labels,
    make_objective,
)
from dst_jax.distill.labels import AnchorLabels
from dst_jax.models import init_variables
from dst_jax.ops.anchors import head_anchors
from dst_jax.ops.augment import AugmentConfig, augment, patch_sides
from dst_jax.ops.examples import Examples
from dst_jax.train import (
    AXIS_NAME,
    Constants,
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
class Workload:
    """What is trained, and how."""

    teacher: TrackerSpec
    students: Mapping[str, TrackerSpec]
    batch: int
    augment: AugmentConfig = AugmentConfig()
    optim: OptimConfig = OptimConfig(momentum=0.9, weight_decay=1e-4, clip_norm=10.0)

    @property
    def setting(self) -> Setting:
        """All terms, at the weights of the papers."""
        radius = 2.0 * self.teacher.backbone.total_stride
        terms = DistillConfig().with_terms(ks=Sharing(margin=OPEN))
        if levels := self.teacher.head.levels:  # SiamRPN++ has no stages by number
            terms = terms.with_terms(str=Response(layers=levels))
        return Setting(terms, LabelConfig(radius_px=radius))


def host_batch(workload: Workload) -> dict[str, np.ndarray]:
    """Made-up patches: only shapes matter for the time."""
    rng, size = np.random.default_rng(SEED), workload.batch
    sides = patch_sides(workload.teacher.input, workload.augment)
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

    workload: Workload
    constants: Constants
    state: Any
    step: Callable[..., Any]
    examples: Examples


def make_ours(workload: Workload, batch: Mapping[str, np.ndarray]) -> Ours:
    """Builds the step as training does; nothing is compiled but the crops."""
    tx = make_optimizer(workload.optim, total_steps=10**6)
    crops = Crops(workload.teacher.input, workload.augment, seed=SEED)
    objective = make_objective(
        workload.teacher, workload.students, workload.setting, axis_name=AXIS_NAME
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
    teacher = init_variables(jax.random.key(SEED + 1), workload.teacher)
    # A teacher that was never trained normalises by the statistics of this batch.
    terms = workload.setting.distill
    probe = TorchStep((workload.teacher, teacher), {}, terms, workload.optim)
    stats = probe.teacher.running_statistics(
        *(to_torch(crops) for crops in (examples.template, examples.search))
    )
    state = init_state(jax.random.key(SEED), workload.students, tx)
    return Ours(
        workload,
        Constants({"params": teacher["params"], "batch_stats": stats}),
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
    state, workload = ours.state, ours.workload
    students = {}
    for name, spec in workload.students.items():
        stats = {"batch_stats": state.batch_stats[name]}
        students[name] = (spec, {"params": state.params[name], **stats})
    return TorchStep(
        (workload.teacher, ours.constants.teacher),
        students,
        workload.setting.distill,
        workload.optim,
        layout=layout,
        device="cuda" if torch.cuda.is_available() else "cpu",
    )


def our_targets(ours: Ours, device: str) -> Targets:
    """What the first step of our side learns, drawn anchors included."""
    workload = ours.workload
    key = jax.random.fold_in(jax.random.split(jax.random.key(SEED))[1], 0)
    label = make_labels(workload.teacher, workload.setting.labels)
    found = jax.jit(label)(ours.examples, key)
    if not isinstance(found, AnchorLabels):  # nothing is drawn
        return their_targets(workload, device)(torch.zeros(0))
    arrays = (found.labels, found.deltas, found.weights)
    return Targets(*(tensor(array).to(device) for array in arrays))


def their_targets(workload: Workload, device: str) -> Callable[[torch.Tensor], Targets]:
    """A function from boxes in the crops to PyTorch's own targets."""
    spec, config = workload.teacher, workload.setting.labels
    _, side, stride, px = spec.grid(spec.input.train_search_px)
    if isinstance(spec.head, RegionHeadSpec):
        grid = head_anchors(spec.head, side=side, stride=stride, search_px=px)
        anchors = tensor(grid).to(device)
        return lambda boxes: anchor_targets(anchors, boxes, config.assign)
    fixed = cell_targets(side, stride, config.radius_px, workload.batch)
    fixed = Targets(fixed.label.to(device))
    return lambda _: fixed


def compare(ours: Ours, batch: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Relative differences of one step on both sides from the same weights.

    Returns:
      By name: every term of the objective, every student's gradient norm, and every
      student's update of its parameters (relative to the update's norm).
    """
    state, metrics = jax.device_get(ours.step(ours.state, ours.constants, batch))
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
