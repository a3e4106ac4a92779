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
from dst_jax.distill.cells import cell_family
from dst_jax.distill.regions import region_family
from dst_jax.distill.weights import DistillConfig
from dst_jax.errors import InputError
from dst_jax.models import Output, Siamese, Variables, build, forward, forward_train
from dst_jax.ops.examples import Examples
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


class Batch(NamedTuple):
    """A batch after the forward passes: what the losses are made of."""

    family: t.Family
    targets: Any
    outputs: Mapping[str, Output]
    teacher: Output | None


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
    family = family_of(next(iter(students.values())), config, axis_name=axis_name)
    modules = {
        name: build(
            spec,
            axis_name=axis_name,
            dtype=dtype,
            param_dtype=dtype,
            pair_norm=config.batch_norm == "pair",
        )
        for name, spec in students.items()
    }
    teacher_module = None
    if teacher is not None and needs_teacher(students, config):
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
        target = _teach(teacher_module, teacher_vars, examples)
        outputs, new_stats = _learn(modules, params, stats, examples)
        batch = Batch(family, family.targets(examples, key), outputs, target)
        task = _task_losses(batch, axis_name)
        sigma, gates = _sigmas(task, epoch, config)
        parts = _collect(batch, sigma, sizes, epoch, config)
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
    if needs_teacher(students, config) and teacher is None:
        raise InputError(
            "the objective has teacher terms but there is no teacher; give a bundle "
            "with --teacher, or use the row NOKD."
        )
    named = dict(students)
    if teacher is not None and needs_teacher(students, config):
        named["teacher"] = teacher
    _check_heads(named, config)
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


def needs_teacher(students: Mapping[str, TrackerSpec], config: DistillConfig) -> bool:
    """Whether any term looks at the teacher: AH does so for boxes alone."""
    boxes = any(isinstance(s.head, RegionHeadSpec) for s in students.values())
    return config.needs_teacher or (boxes and config.adaptive_hard > 0.0)


def family_of(
    spec: TrackerSpec, config: DistillConfig, *, axis_name: str | None = None
) -> t.Family:
    """The losses that the head of `spec` calls for."""
    if isinstance(spec.head, RegionHeadSpec):
        return region_family(spec, config, axis_name=axis_name)
    return cell_family(spec, config)


def _check_heads(networks: Mapping[str, TrackerSpec], config: DistillConfig) -> None:
    first, reference = next(iter(networks.items()))
    for name, spec in networks.items():
        if _reads(spec) != _reads(reference):
            raise InputError(
                f"{name} answers with {_reads(spec)}, {first} with "
                f"{_reads(reference)}; networks that are trained together must have "
                "the same kind of head."
            )
    if isinstance(reference.head, RegionHeadSpec) and config.soft_form != "cell":
        raise InputError(
            f"DistillConfig.soft_form={config.soft_form!r} is for SiamFC; anchors "
            "have two classes each, use 'cell'."
        )


def _reads(spec: TrackerSpec) -> str:
    """What a head says, in words; equal for heads that can be compared."""
    if not isinstance(spec.head, RegionHeadSpec):
        return "one logit per cell"
    return f"anchors of ratios {spec.head.ratios} and scales {spec.head.scales}"


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


def _task_losses(batch: Batch, axis_name: str | None) -> dict[str, Scalar]:
    """Losses on the labels over the global batch, for gates and logs; no gradient."""
    teacher = {} if batch.teacher is None else {"teacher": batch.teacher}
    found = {}
    for name, output in {**batch.outputs, **teacher}.items():
        group = jax.lax.stop_gradient(batch.family.task(output, batch.targets, 1.0))
        found[name] = t.psum(t.reduce_terms(group, axis_name), axis_name)
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
    batch: Batch,
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
    family, _, outputs, teacher = batch
    parts: dict[str, list[t.Term]] = {}
    for name, output in outputs.items():
        pair = output, teacher, batch.targets
        plain = config.ground_truth * after + (1.0 - after)
        if config.ground_truth or config.warmup_epochs:
            parts[f"{name}/gt"] = family.task(output, batch.targets, plain)
        if config.adaptive_hard:
            parts[f"{name}/ah"] = family.hard(*pair, config.adaptive_hard * after)
        if teacher is not None and config.teacher_soft:
            parts[f"{name}/ts"] = family.soft(*pair, config.teacher_soft * after)
        if teacher is not None and config.target_response:
            weight = config.target_response * after
            mask = batch.targets.mask
            group = t.response_terms(output, teacher, mask, config, weight)
            parts[f"{name}/str"] = group
        if sigma and len(outputs) > 1:
            parts[f"{name}/ks"] = _sharing(name, batch, sigma, sizes, config)
    return parts


def _sharing(
    learner: str,
    batch: Batch,
    sigma: Mapping[str, Scalar],
    sizes: Mapping[str, int],
    config: DistillConfig,
) -> list[t.Term]:
    """What `learner` takes from all its peers, eq. 20, 21 and 33."""
    outputs = batch.outputs
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
        group += batch.family.sharing(*pair, batch.targets, weight)
    return group
