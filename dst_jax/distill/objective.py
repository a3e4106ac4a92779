"""The joint objective of all students under one frozen teacher.

L_KT(s) = L_TS + lambda L_AH + omega L_STR                              (16)
L_s     = L_KT(s) + sigma(s) / (n - 1) sum_{j != s} beta_sj KS(s || j)   (20, 21, 33)
L       = sum_s L_s                                                     (23)
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from dst_jax import losses
from dst_jax.arch import RegionHeadSpec, TrackerSpec, tracker_cost
from dst_jax.distill import terms as t
from dst_jax.distill.weights import DistillConfig
from dst_jax.errors import InputError
from dst_jax.models import Output, Siamese, Variables, build, forward, forward_train
from dst_jax.ops.augment import Examples
from dst_jax.ops.labels import response_labels
from dst_jax.typing import Array, Params, Scalar


class Metrics(NamedTuple):
    """What a step reports.

    Attributes:
      terms: Local contributions "student/term"; their sum over names is the local
        loss, their sum over devices what the run reports.
      globals: Values that every device already agrees on: "gt/NAME" (loss on the
        labels), "sigma/NAME" and "gate/NAME" (eq. 22).
    """

    terms: Mapping[str, Scalar]
    globals: Mapping[str, Scalar]


Objective: TypeAlias = Callable[..., tuple[Scalar, tuple[Params, Metrics]]]


def make_objective(
    teacher: TrackerSpec | None,
    students: Mapping[str, TrackerSpec],
    config: DistillConfig,
    *,
    axis_name: str | None = None,
    dtype: DTypeLike = jnp.float32,
) -> Objective:
    """Returns the loss of all students as one pure function.

    Args:
      teacher: The frozen network, or None for plain training.
      students: The networks that learn, by name; at least one.
      config: Which terms, with which weights.
      axis_name: Device axis over which batches are split, or None.
      dtype: Of parameters and computation.

    Returns:
      `objective(params, stats, teacher_vars, examples, *, epoch, key)`, which gives
      `(local_loss, (new_stats, metrics))`. `params` and `stats` are dicts over the
      students; `teacher_vars` are the teacher's variables (anything without a
      teacher); `epoch` is a traced float. The sum of `local_loss` over devices is
      the loss of the global batch, and so is the sum of the gradients.

    Raises:
      InputError: If the networks do not fit together.
    """
    check_fit(teacher, students, config)
    grid = _label_grid(next(iter(students.values())), config)
    modules = {
        name: build(spec, axis_name=axis_name, dtype=dtype, param_dtype=dtype)
        for name, spec in students.items()
    }
    teacher_module = None
    if teacher is not None and config.needs_teacher:
        teacher_module = build(teacher, dtype=dtype, param_dtype=dtype)
    sizes = {n: tracker_cost(spec).parameters for n, spec in students.items()}

    def objective(
        params: Params,
        stats: Params,
        teacher_vars: Variables,
        examples: Examples,
        *,
        epoch: Scalar,
        key: Array,
    ) -> tuple[Scalar, tuple[Params, Metrics]]:
        del key  # no network of this family draws at random in its forward pass
        target = _teach(teacher_module, teacher_vars, examples)
        outputs, new_stats = _learn(modules, params, stats, examples)
        cells = t.cells_of(
            jnp.asarray(grid, dtype), examples.mask, examples.is_negative
        )
        task = _task_losses(outputs, target, cells, axis_name)
        sigma, gates = _sigmas(task, epoch, config)
        parts = _collect(outputs, target, cells, sigma, sizes, epoch, config)
        values = {n: t.reduce_terms(group, axis_name) for n, group in parts.items()}
        agreed = {f"gt/{n}": v for n, v in task.items()} | sigma | gates
        loss = jnp.sum(jnp.stack(list(values.values())))
        return loss, (new_stats, Metrics(values, agreed))

    return objective


def check_fit(
    teacher: TrackerSpec | None,
    students: Mapping[str, TrackerSpec],
    config: DistillConfig,
) -> None:
    """Checks that teacher and students see and answer on the same grids.

    Raises:
      InputError: Naming the first network that differs, and in what.
    """
    if not students:
        raise InputError("there is no student to train; name at least one.")
    if config.needs_teacher and teacher is None:
        raise InputError(
            "the objective has teacher terms but there is no teacher; give a bundle "
            "with --teacher, or use the row NOKD."
        )
    _check_family(students)
    named = dict(students)
    if teacher is not None and config.needs_teacher:
        named["teacher"] = teacher
    first, reference = next(iter(named.items()))
    for name, spec in named.items():
        for field in ("template_px", "train_search_px", "context"):
            ours, theirs = getattr(spec.input, field), getattr(reference.input, field)
            if ours != theirs:
                raise InputError(
                    f"{name} has {field}={ours}, {first} has {theirs}; networks that "
                    "are trained together must see the same crops."
                )
        for pixels in (spec.input.template_px, spec.input.train_search_px):
            ours, theirs = spec.stage_sides(pixels), reference.stage_sides(pixels)
            strides = spec.backbone.total_stride, reference.backbone.total_stride
            if (
                ours[-1] != theirs[-1]
                or strides[0] != strides[1]
                or (config.target_response and "teacher" in named and ours != theirs)
            ):
                raise InputError(
                    f"{name} has feature maps of sides {ours}, {first} of {theirs}; "
                    "kernels, strides and pooling must agree, only widths may differ."
                )
    depth = len(reference.backbone.layers)
    if bad := [j for j in config.response_layers if not 1 <= j <= depth]:
        raise InputError(
            f"DistillConfig.response_layers has {bad[0]}; the backbone has {depth}."
        )


def _check_family(students: Mapping[str, TrackerSpec]) -> None:
    for name, spec in students.items():
        if isinstance(spec.head, RegionHeadSpec):
            raise InputError(
                f"{name} proposes regions, which cannot be trained yet; choose a "
                "tracker of the SiamFC family."
            )


def _label_grid(spec: TrackerSpec, config: DistillConfig) -> Array:
    return response_labels(
        spec.response_side(spec.input.train_search_px),
        stride=float(spec.backbone.total_stride),
        radius_px=config.label_radius_px,
    )


def _teach(
    module: Siamese | None, variables: Variables, examples: Examples
) -> Output | None:
    """The teacher's answer, in inference mode; nothing flows back into it."""
    if module is None:
        return None
    frozen = jax.lax.stop_gradient(variables)
    return forward(module, frozen, examples.template, examples.search)


def _learn(
    modules: Mapping[str, Siamese], params: Params, stats: Params, examples: Examples
) -> tuple[dict[str, Output], dict[str, Any]]:
    outputs, new_stats = {}, {}
    for name, module in modules.items():
        variables = {"params": params[name], "batch_stats": stats[name]}
        outputs[name], new_stats[name] = forward_train(
            module, variables, examples.template, examples.search
        )
    return outputs, new_stats


def _task_losses(
    outputs: Mapping[str, Output],
    target: Output | None,
    cells: t.Cells,
    axis_name: str | None,
) -> dict[str, Scalar]:
    """Losses on the labels over the global batch, for gates and logs; no gradient."""
    everyone = dict(outputs) | ({} if target is None else {"teacher": target})
    found = {}
    for name, output in everyone.items():
        group = jax.lax.stop_gradient(t.task_terms(output, cells, 1.0))
        totals = t.psum([(term.total, term.number) for term in group], axis_name)
        found[name] = sum(0.5 * t.divide(total, count) for total, count in totals)
    return found


def _sigmas(
    task: Mapping[str, Scalar], epoch: Scalar, config: DistillConfig
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Sigma and the bare gate of every student, eq. 22."""
    if not config.sharing or "teacher" not in task or len(task) < 3:
        return {}, {}
    weight = losses.sharing_schedule(
        epoch, base=config.sharing_decay, warmup_epochs=config.warmup_epochs
    )
    weight = jnp.where(epoch < config.warmup_epochs, 0.0, weight)
    gates = {
        f"gate/{name}": losses.gate(loss, task["teacher"], margin=config.sharing_margin)
        for name, loss in task.items()
        if name != "teacher"
    }
    sigma = {f"sigma/{k.removeprefix('gate/')}": weight * g for k, g in gates.items()}
    return sigma, gates


def _collect(
    outputs: Mapping[str, Output],
    target: Output | None,
    cells: t.Cells,
    sigma: Mapping[str, Scalar],
    sizes: Mapping[str, int],
    epoch: Scalar,
    config: DistillConfig,
) -> dict[str, list[t.Term]]:
    """All terms of all students, "student/term"."""
    # 1 after the warm-up, 0 within; without warm-up the factor is the constant 1.
    after: Any = 1.0
    if config.warmup_epochs:
        after = jnp.where(epoch < config.warmup_epochs, 0.0, 1.0)
    parts: dict[str, list[t.Term]] = {}
    for name, output in outputs.items():
        plain = config.ground_truth * after + (1.0 - after)
        if config.ground_truth or config.warmup_epochs:
            parts[f"{name}/gt"] = t.task_terms(output, cells, plain)
        if config.adaptive_hard:
            weight = config.adaptive_hard * after
            parts[f"{name}/ah"] = t.task_terms(output, cells, weight)
        if target is not None and config.teacher_soft:
            weight = config.teacher_soft * after
            parts[f"{name}/ts"] = t.soft_terms(output, target, cells, config, weight)
        if target is not None and config.target_response:
            weight = config.target_response * after
            group = t.response_terms(output, target, cells, config, weight)
            parts[f"{name}/str"] = group
        if sigma and len(outputs) > 1:
            parts[f"{name}/ks"] = _sharing(name, outputs, cells, sigma, sizes, config)
    return parts


def _sharing(
    learner: str,
    outputs: Mapping[str, Output],
    cells: t.Cells,
    sigma: Mapping[str, Scalar],
    sizes: Mapping[str, int],
    config: DistillConfig,
) -> list[t.Term]:
    """What `learner` takes from all its peers, eq. 20, 21 and 33."""
    norm = losses.sharing_normaliser(len(outputs), norm=config.sharing_norm)
    group = []
    for peer in outputs:
        if peer == learner:
            continue
        beta = losses.sharing_weight(
            sizes[learner], sizes[peer], discount=config.sharing_discount
        )
        judged = peer if config.sharing_gate == "peer" else learner
        weight = norm * beta * sigma[f"sigma/{judged}"]
        pair = outputs[learner], outputs[peer]
        group += t.sharing_terms(*pair, cells, config, weight)
    return group
