"""Both sides of `bench_step.py`: our step, PyTorch's, and whether they agree."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import numpy as np
import torch
from torch_crops import tensor
from torch_step import TorchStep
from torch_terms import Answer, Targets, anchor_targets, cell_targets, nearest_targets

from dst_jax.arch import ConvSpec, RegionHeadSpec, TrackerSpec
from dst_jax.distill import (
    DistillConfig,
    LabelConfig,
    Response,
    Setting,
    Sharing,
    init_adapters,
    make_labels,
    make_objective,
    of_network,
    with_row,
)
from dst_jax.distill.labels import AnchorLabels
from dst_jax.models import Variables, build, forward, init_variables
from dst_jax.ops.anchors import head_anchors
from dst_jax.ops.augment import AugmentConfig, augment, patch_sides
from dst_jax.ops.examples import Examples
from dst_jax.ops.kernels import compiled, kernels_for
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
    row: str = "TSsKD"

    @property
    def setting(self) -> Setting:
        """The row's terms, at the weights of the papers."""
        radius = 2.0 * self.teacher.backbone.total_stride
        terms = DistillConfig().with_terms(ks=Sharing(margin=OPEN))
        levels, residual = self.teacher.head.levels, residual_stages(self.teacher)
        if levels or residual:  # stages without numbers
            terms = terms.with_terms(str=Response(layers=levels or residual))
        moves = bool(residual) and not self.teacher.head.proposes_boxes
        labels = LabelConfig(radius_px=radius, label_centre=LABEL_CENTRES[moves])
        return Setting(with_row(terms, self.row), labels)


LABEL_CENTRES: tuple[Literal["middle"], Literal["target"]] = ("middle", "target")


def residual_stages(spec: TrackerSpec) -> tuple[str, ...]:
    """Names of the stages that consist of blocks."""
    chain: Any = spec.backbone
    stages = zip(chain.stage_names, chain.layers, strict=True)
    return tuple(name for name, stage in stages if not isinstance(stage, ConvSpec))


def set_precision(precision: str) -> None:
    """Has both sides multiply in float32 throughout, or by TF32 where they can.

    It is for NVIDIA's GPUs; on a CPU there is but one way, and nothing is set.
    """
    if jax.default_backend() == "cpu":
        return
    fast = precision == "tf32"
    jax.config.update("jax_default_matmul_precision", None if fast else "highest")
    torch.set_float32_matmul_precision("high" if fast else "highest")
    torch.backends.cudnn.allow_tf32 = fast


def torch_device() -> str:
    """Where PyTorch's side computes."""
    return "cuda" if torch.cuda.is_available() else "cpu"


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


def make_step(workload: Workload) -> Callable[..., Any]:
    """Builds the step as training does; nothing is compiled yet."""
    objective = make_objective(
        workload.teacher, workload.students, workload.setting, axis_name=AXIS_NAME
    )
    step = make_train_step(
        objective,
        make_optimizer(workload.optim, total_steps=10**6),
        Crops(workload.teacher.input, workload.augment, seed=SEED),
        steps_per_epoch=10**6,
        axis_name=AXIS_NAME,
    )
    return data_parallel(
        step, devices=jax.local_devices()[:1], kernels=kernels_for(workload.teacher)
    )


def make_ours(workload: Workload, batch: Mapping[str, np.ndarray]) -> Ours:
    """Our side before its first step; nothing is compiled but the crops."""
    teacher_spec, students = workload.teacher, workload.students
    examples = jax.jit(
        lambda b: augment(
            jax.random.split(jax.random.key(SEED))[0],
            b,
            input=teacher_spec.input,
            config=workload.augment,
        )
    )(dict(batch))
    teacher = init_variables(jax.random.key(SEED + 1), teacher_spec)
    # A teacher that was never trained normalises by the statistics of this batch.
    terms, key = workload.setting.distill, jax.random.key(SEED)
    device = torch_device()
    probe = TorchStep((teacher_spec, teacher), {}, terms, workload.optim, device=device)
    stats = probe.teacher.running_statistics(
        *(to_torch(crops).to(device) for crops in (examples.template, examples.search))
    )
    state = init_state(
        key,
        students,
        make_optimizer(workload.optim, total_steps=10**6),
        adapters=init_adapters(key, teacher_spec, students, terms),
    )
    return Ours(
        workload,
        Constants({"params": teacher["params"], "batch_stats": stats}),
        jax.device_get(state),
        make_step(workload),
        jax.device_get(examples),
    )


def our_students(ours: Ours) -> dict[str, tuple[TrackerSpec, Variables]]:
    """Students with their first weights, adapters included."""
    params, stats = ours.state.params, ours.state.batch_stats
    return {
        name: (spec, {"params": params[name], "batch_stats": stats[name]})
        for name, spec in ours.workload.students.items()
    }


def to_torch(images: Any) -> torch.Tensor:
    """Crops [b, h, w, 3] as [b, 3, h, w]."""
    return tensor(images).permute(0, 3, 1, 2).contiguous()


def make_theirs(
    ours: Ours, *, layout: torch.memory_format = torch.contiguous_format
) -> TorchStep:
    """PyTorch's side, with our weights."""
    workload = ours.workload
    return TorchStep(
        (workload.teacher, ours.constants.teacher),
        our_students(ours),
        workload.setting.distill,
        workload.optim,
        layout=layout,
        device=torch_device(),
    )


def our_targets(ours: Ours, device: str) -> Targets:
    """What the first step of our side learns, drawn anchors included."""
    workload = ours.workload
    key = jax.random.fold_in(jax.random.split(jax.random.key(SEED))[1], 0)
    label = make_labels(workload.teacher, workload.setting.labels)
    found = jax.jit(label)(ours.examples, key)
    if not isinstance(found, AnchorLabels):  # nothing is drawn
        boxes = tensor(ours.examples.search_box).to(device)
        return their_targets(workload, device)(boxes)
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
    if config.label_centre == "target":
        at = {"stride": stride, "search_px": px, "radius_px": config.radius_px}
        return lambda boxes: nearest_targets(boxes, side=side, **at)
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
        parts = (name, f"{name}/adapters")
        own = [metrics.gradient_norm.get(part, 0.0) for part in parts]
        found[f"{name}/gradient"] = _relative(float(np.hypot(*own)), norm.item())
        found[f"{name}/update"] = update_difference(
            ours.state.params[name],
            state.params[name],
            theirs.parameters_like_ours(name),
        )
    return found


def compare_answers(ours: Ours) -> dict[str, float]:
    """Relative differences of all networks' answers in inference mode.

    Returns:
      By name of the network: the largest difference of a number of its answers over
      the largest number.
    """
    theirs, crops = make_theirs(ours), (ours.examples.template, ours.examples.search)
    images = [theirs.place(to_torch(crop)) for crop in crops]
    networks: dict[str, Any] = {"teacher": theirs.teacher, **theirs.students}
    teacher = (ours.workload.teacher, ours.constants.teacher)
    found = {}
    for name, (spec, held) in {"teacher": teacher, **our_students(ours)}.items():
        variables = {**held, "params": of_network(held["params"])}
        run = compiled(
            functools.partial(forward, build(spec, taps=())), kernels=kernels_for(spec)
        )
        answer = jax.device_get(run(variables, *crops).answer)
        with torch.no_grad():
            other: Answer = networks[name].eval()(*images)
        pairs = zip(answer, (other.response, other.offsets), strict=False)
        gaps = [_largest_gap(a, b.cpu().numpy()) for a, b in pairs if b is not None]
        found[f"{name}/answer"] = max(gaps)
    return found


def _largest_gap(one: np.ndarray, other: np.ndarray) -> float:
    assert one.shape == other.shape, (one.shape, other.shape)
    return float(np.max(np.abs(one - other)) / np.max(np.abs(other)))


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
