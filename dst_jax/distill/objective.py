"""The joint objective of all students under one frozen teacher.

L_KT(s) = L_TS + lambda L_AH + omega L_STR                              (16)
L_s     = L_KT(s) + sigma(s) / (n - 1) sum_{j != s} beta_sj KS(s || j)   (20, 21, 33)
L       = sum_s L_s                                                     (23)

The configuration chooses the terms; the code of the objective names none of them.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from dst_jax.arch import TrackerSpec, tracker_cost
from dst_jax.distill.adapters import held, of_network
from dst_jax.distill.config import DistillConfig
from dst_jax.distill.fit import check_fit, needs_teacher
from dst_jax.distill.labels import LabelConfig, Labels, make_labels
from dst_jax.distill.parts import Part, own_share, psum, scaled
from dst_jax.distill.readings import batch_loss
from dst_jax.distill.task import TaskConfig, task_parts
from dst_jax.distill.term import View
from dst_jax.errors import InputError
from dst_jax.models import (
    ModelConfig,
    Moment,
    Network,
    Output,
    Variables,
    build,
    forward,
    forward_train,
)
from dst_jax.models.parts import ADAPTERS
from dst_jax.ops.examples import Examples, examples_for
from dst_jax.typing import Array, Params, Scalar


class Metrics(NamedTuple):
    """The values that a step reports.

    Attributes:
      terms: Contributions of this device's share of the batch by "student/term". Their
        sum over names is the local loss; the run reports their sums over devices.
      globals: Values that are equal on all devices: "gt/NAME", the loss on the labels,
        and those that terms log, such as "sigma/NAME" and "gate/NAME" (eq. 22).
    """

    terms: Mapping[str, Scalar]
    globals: Mapping[str, Scalar]


class Setting(NamedTuple):
    """Settings that all networks of an objective share.

    Attributes:
      distill: Terms and their weights.
      labels: Settings of the labels of cells and anchors.
      task: Settings of the tracker's own loss.
      model: Settings of networks in training.
    """

    distill: DistillConfig = DistillConfig()
    labels: LabelConfig = LabelConfig()
    task: TaskConfig = TaskConfig()
    model: ModelConfig = ModelConfig()


class _Batch(NamedTuple):
    """A batch after the forward passes, by network, with "teacher" if it ran.

    Beside it are the parameters of terms, by student, for every student.
    """

    outputs: Mapping[str, Output]
    labels: Mapping[str, Labels]
    task_losses: Mapping[str, Scalar]
    adapters: Mapping[str, Params]

    def around(self, name: str) -> dict[str, Any]:
        """Returns what the view of a student has of the batch."""
        peers = (other for other in self.adapters if other != name)
        return {
            "student": self.outputs[name],
            "teacher": self.outputs.get("teacher"),
            "peers": {other: self.outputs[other] for other in peers},
            "labels": self.labels[name],
            "all_labels": self.labels,
            "task_losses": self.task_losses,
        }

    def task_parts(self, name: str, config: TaskConfig) -> list[Part]:
        """Returns the parts of a student's loss on the labels."""
        return task_parts(self.outputs[name].answer, self.labels[name], config)


# By "student/term".
_Parts: TypeAlias = dict[str, list[Part]]
# Frozen parts by student.
Frozen: TypeAlias = Mapping[str, tuple[str, ...]]
Objective: TypeAlias = Callable[..., tuple[Scalar, tuple[Params, Metrics]]]


def make_objective(
    teacher: TrackerSpec | None,
    students: Mapping[str, TrackerSpec],
    setting: Setting,
    *,
    axis_name: str | None = None,
    dtype: DTypeLike = jnp.float32,
    frozen: Frozen = MappingProxyType({}),
) -> Objective:
    """Returns the loss of all students as one pure function.

    Args:
      teacher: The frozen network, or None for plain training.
      students: The networks that learn, by name; at least one.
      setting: Settings of terms, labels, the tracker's own loss and the networks.
      axis_name: Device axis over which batches are split, or None.
      dtype: Type of parameters and computation.
      frozen: Parts of students (`models.parts`) that get no gradient, run in inference
        mode and whose statistics stand still, by student.

    Returns:
      `objective(params, stats, teacher_vars, examples, *, epoch, key)`, which returns
      `(local_loss, (new_stats, metrics))`. `params` and `stats` are dicts over the
      students; the parameters of terms stand in the former, see `distill.adapters`.
      `teacher_vars` are the teacher's variables, and are ignored if no term reads the
      teacher. `epoch` is a traced float. The sum of `local_loss` over devices is the
      loss of the global batch, and the sum of its gradients is the gradient. A keyword
      `everywhere` gives another function that sums a tree over the batch of all.

    Raises:
      InputError: If the networks do not fit together.
    """
    check_fit(teacher, students, setting.distill)
    specs = dict(students)
    network = _builder(setting, dtype)
    modules = {
        name: network(spec, axis_name=axis_name, frozen=_inside(frozen.get(name, ())))
        for name, spec in students.items()
    }
    teaching = None
    if teacher is not None and needs_teacher(students, setting.distill):
        specs["teacher"], teaching = teacher, network(teacher)
    view, label = _viewer(specs, setting.model), _labeller(specs, setting.labels)
    over_devices = functools.partial(psum, axis_name=axis_name)
    collect = _collector(specs, students, setting)

    def objective(
        params: Params,
        stats: Params,
        teacher_vars: Variables,
        examples: Examples,
        *,
        epoch: Scalar,
        key: Array,
        everywhere: Callable[[Any], Any] = over_devices,
    ) -> tuple[Scalar, tuple[Params, Metrics]]:
        seen = view(examples)
        outputs, new_stats = _learn(key, epoch, modules, params, stats, seen)
        if teaching is not None:
            outputs["teacher"] = _teach(teaching, teacher_vars, seen["teacher"])
        labels = label(seen, key)
        task = _task_losses(outputs, labels, setting.task, everywhere)
        own = {name: held(params[name], frozen.get(name, ())) for name in modules}
        parts, logs = collect(_Batch(outputs, labels, task, own), epoch, everywhere)
        values = {name: own_share(group, everywhere) for name, group in parts.items()}
        loss = jnp.sum(jnp.stack(list(values.values())))
        agreed = {f"gt/{name}": value for name, value in task.items()} | logs
        return loss, (new_stats, Metrics(values, agreed))

    return objective


def _builder(setting: Setting, dtype: DTypeLike) -> Callable[..., Network]:
    """Returns `build` with all that networks of an objective share."""

    def network(spec: TrackerSpec, **own: Any) -> Network:
        read = [term.reads_maps(spec) for term in setting.distill.active.values()]
        taps = None
        if None not in read:
            taps = tuple(dict.fromkeys(name for names in read for name in names or ()))
        kinds: dict[str, Any] = {"dtype": dtype, "param_dtype": dtype, **own}
        return build(spec, config=setting.model, taps=taps, **kinds)

    return network


def _inside(parts: Iterable[str]) -> tuple[str, ...]:
    """Returns the parts that lie in a network, not among the parameters of terms."""
    return tuple(part for part in parts if part != ADAPTERS)


def _viewer(
    specs: Mapping[str, TrackerSpec], config: ModelConfig
) -> Callable[[Examples], dict[str, Examples]]:
    """Returns a function that gives each network its own examples of a batch.

    Networks of equal inputs share them.
    """

    def view(examples: Examples) -> dict[str, Examples]:
        inputs = dict.fromkeys(spec.input for spec in specs.values())
        smooth = config.antialias
        made = {x: examples_for(examples, x, antialias=smooth) for x in inputs}
        return {name: made[spec.input] for name, spec in specs.items()}

    return view


def _labeller(
    specs: Mapping[str, TrackerSpec], config: LabelConfig
) -> Callable[[Mapping[str, Examples], Array], dict[str, Labels]]:
    """Returns a function that labels a batch for each network.

    Networks of equal grids and inputs share their labels.
    """
    kinds = {n: (s.grid(s.input.train_search_px), s.input) for n, s in specs.items()}
    makers = {kinds[name]: make_labels(spec, config) for name, spec in specs.items()}

    def label(seen: Mapping[str, Examples], key: Array) -> dict[str, Labels]:
        made: dict[Any, Labels] = {}
        for name, kind in kinds.items():
            if kind not in made:
                made[kind] = makers[kind](seen[name], key)
        return {name: made[kind] for name, kind in kinds.items()}

    return label


def _teach(module: Network, variables: Variables, examples: Examples) -> Output:
    """Returns the teacher's output in inference mode; no gradient reaches it."""
    frozen = jax.lax.stop_gradient(variables)
    return forward(module, frozen, examples.template, examples.search)


def _learn(
    key: Array,
    epoch: Scalar,
    modules: Mapping[str, Network],
    params: Params,
    stats: Params,
    seen: Mapping[str, Examples],
) -> tuple[dict[str, Output], dict[str, Any]]:
    outputs, new_stats = {}, {}
    for name, module in modules.items():
        variables = {"params": of_network(params[name]), "batch_stats": stats[name]}
        outputs[name], new_stats[name] = forward_train(
            module,
            variables,
            seen[name].template,
            seen[name].search,
            moment=Moment(key, seen[name].number, epoch),
        )
    return outputs, new_stats


def _task_losses(
    outputs: Mapping[str, Output],
    labels: Mapping[str, Labels],
    config: TaskConfig,
    everywhere: Callable[[Any], Any],
) -> dict[str, Scalar]:
    """Returns every network's loss on the labels over the batch of all devices."""
    return {
        name: batch_loss(output.answer, labels[name], config, everywhere)
        for name, output in outputs.items()
    }


def _collector(
    specs: Mapping[str, TrackerSpec],
    students: Iterable[str],
    setting: Setting,
) -> Callable[..., tuple[_Parts, dict[str, Scalar]]]:
    """Returns a function from a batch to the parts by "student/term" and all logs."""
    sizes = {name: tracker_cost(specs[name]).parameters for name in students}
    warmup = setting.distill.warmup_epochs

    def view(name: str, batch: _Batch, term: str, **at: Any) -> View:
        return View(
            name=name,
            term=term,
            **batch.around(name),
            task=setting.task,
            sizes=sizes,
            since_warmup=at["epoch"] - warmup,
            specs=specs,
            params=batch.adapters[name].get(term, {}),
            **at,
        )

    def collect(
        batch: _Batch, epoch: Scalar, everywhere: Callable[[Any], Any]
    ) -> tuple[_Parts, dict[str, Scalar]]:
        # 0 in the warm-up and 1 after it; without one, a constant, which costs nothing.
        after: Any = jnp.where(epoch < warmup, 0.0, 1.0) if warmup else 1.0
        parts, logs = _Parts(), dict[str, Scalar]()
        for name in students:
            if warmup:
                plain = batch.task_parts(name, setting.task)
                parts[f"{name}/gt"] = scaled(plain, 1.0 - after)
            for term_name, term in setting.distill.active.items():
                found = term(view(name, batch, term_name, epoch=epoch, psum=everywhere))
                if found.parts:
                    own = parts.setdefault(f"{name}/{term_name}", [])
                    own += scaled(found.parts, term.weight * after)
                named = {f"{log}/{name}": value for log, value in found.logs.items()}
                _require_free(named, term_name, logs)
                logs |= named
        return _some(parts, setting.distill.active), logs

    return collect


def _some(parts: _Parts, terms: Iterable[str]) -> _Parts:
    """Returns the parts, or raises InputError if no term adds anything."""
    if not parts:
        raise InputError(
            f"the terms {', '.join(terms)} add nothing for any student; add one that "
            "does, such as gt."
        )
    return parts


def _require_free(logs: Iterable[str], term: str, taken: Mapping[str, Scalar]) -> None:
    """Raises InputError if a term logs under a name that something else has."""
    for log in logs:
        if log in taken or log.startswith("gt/"):
            raise InputError(
                f"term {term!r} logs {log!r}, a name that is taken; call it otherwise."
            )
