"""Trains candidates of a search from scratch on a small set and scores them (eq. 7)."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.console import Console

from dst_jax import models
from dst_jax.arch import TrackerSpec, spec_id
from dst_jax.bundle import Bundle
from dst_jax.data.patches import PatchSpec
from dst_jax.data.pipeline import HostBatch, fixed_batches
from dst_jax.data.sequence import Sequence as Video
from dst_jax.data.small_set import order_by_class, read_small_set, small_batches
from dst_jax.distill import Setting, make_objective, with_row
from dst_jax.experiment import Experiment
from dst_jax.models import Variables, build, forward, init_variables
from dst_jax.ops.augment import AugmentConfig
from dst_jax.ops.kernels import compiled
from dst_jax.search import (
    Score,
    SearchConfig,
    expand,
    make_mask,
    proposal_overlap,
)
from dst_jax.train import (
    PLAIN,
    Constants,
    Crops,
    TrainState,
    held_out_crops,
    init_state,
    make_optimizer,
    make_train_step,
    over_candidates,
    places_for,
    quick_compilation,
)
from dst_jax.typing import Array
from dst_jax.workflows.held_programs import let_go_if_many
from dst_jax.workflows.printing import say
from dst_jax.workflows.progress import counted_steps, waiting
from dst_jax.workflows.training_data import patch_spec

STUDENT = "candidate"
Advance = Callable[[], None]


@dataclasses.dataclass(frozen=True, eq=False)
class Exam:
    """Data and settings with which every candidate is trained and scored.

    Attributes:
      experiment: Settings of the search.
      parent: The teacher's architecture.
      train: The small training set, a host batch of all its pairs.
      validation: Host batches of held-out pairs.
    """

    experiment: Experiment
    parent: TrackerSpec
    train: HostBatch
    validation: Sequence[HostBatch]


def exam_patch(experiment: Experiment, parent: TrackerSpec) -> PatchSpec:
    """Returns the host patches of an exam.

    The teacher's input decides them, not the configuration's students.

    Args:
      experiment: Settings of the search; its `augment` is read.
      parent: The teacher's architecture.

    Raises:
      InputError: If the settings draw windows otherwise than the teacher needs.
    """
    own = dataclasses.replace(experiment, students={"teacher": parent})
    return patch_spec(own)


def make_exam(
    experiment: Experiment,
    teacher: Bundle,
    train_set: tuple[Video, ...],
    validation_set: tuple[Video, ...],
    console: Console,
) -> Exam:
    """Reads the small set and held-out pairs, and returns the exam of candidates.

    Args:
      experiment: Settings of the search; its seed decides which pairs are drawn.
      teacher: The bundle that is reduced.
      train_set: Sequences of which the small set is drawn.
      validation_set: Sequences of the held-out pairs.
      console: Console for messages and bars.

    Raises:
      InputError: If a frame cannot be read, or no sequence is left.
    """
    search = experiment.search
    classes = len(order_by_class(train_set).members)
    drawn = f"uniformly over {classes} classes" if classes > 1 else "of one class"
    say(console, f"small set: {search.pairs} pairs, {drawn}")
    patch = exam_patch(experiment, teacher.spec)
    data = dataclasses.replace(experiment.data, batch=search.batch)
    with waiting(console, "reading held-out pairs"):
        validation = fixed_batches(
            validation_set,
            data,
            patch,
            seed=experiment.seed,
            examples=search.validation_pairs,
        )
    with counted_steps(console) as progress:
        task = progress.add_task("read small set", total=search.pairs)
        train = read_small_set(
            train_set,
            data,
            patch,
            pairs=search.pairs,
            seed=experiment.seed,
            advance=lambda: progress.advance(task),
        )
    return Exam(experiment, teacher.spec, train, validation)


def make_score(exam: Exam, *, advance: Advance = lambda: None) -> Score:
    """Returns a function that trains networks from scratch and gives their accuracy.

    A network's first weights and batches depend on its architecture and the
    experiment's seed, but not on networks that are scored with it.

    Args:
      exam: Data and settings; its search settings choose the mode.
      advance: Function that is called after every step of training.
    """
    if exam.experiment.search.mode == "exact":
        return lambda specs: [_score_exact(spec, exam, advance) for spec in specs]
    return _make_masked(exam, advance)


def make_accuracy(
    spec: TrackerSpec,
    validation: Sequence[HostBatch],
    *,
    proposals: int,
    windows: AugmentConfig = PLAIN,
) -> Callable[[Variables], float]:
    """Returns a function from an architecture's variables to its accuracy, eq. 7.

    The accuracy is a mean over pairs in [0, 1]. It is NaN if the variables are not
    finite, after a divergence.

    Args:
      spec: The architecture.
      validation: Host batches of held-out pairs.
      proposals: N of eq. 7.
      windows: The argument of `held_out_crops`, the same for every network.
    """
    module, search_px = build(spec), spec.input.train_search_px

    def overlap(variables: Variables, batch: Mapping[str, Array]) -> Array:
        examples = held_out_crops(spec, batch, windows=windows)
        output = forward(module, variables, examples.template, examples.search)
        size = batch["template_box"][:, 2:]
        proposed = models.proposals(spec, output.answer, search_px=search_px, size=size)
        found = proposal_overlap(*proposed, examples.search_box, proposals=proposals)
        return jnp.stack([jnp.sum(found * examples.mask), jnp.sum(examples.mask)])

    measured = compiled(overlap, options=quick_compilation())

    def accuracy(variables: Variables) -> float:
        leaves = jax.tree.leaves(jax.device_get(variables))
        if not all(np.isfinite(leaf).all() for leaf in leaves):
            return float("nan")
        parts = np.stack([np.asarray(measured(variables, b)) for b in validation])
        total, pairs = parts.sum(axis=0)
        return float(total / pairs)

    return accuracy


def make_exam_accuracy(spec: TrackerSpec, exam: Exam) -> Callable[[Variables], float]:
    """Returns the function of `make_accuracy` for the held-out pairs of `exam`."""
    return make_accuracy(
        spec,
        exam.validation,
        proposals=exam.experiment.search.proposals,
        windows=exam.experiment.augment,
    )


def _score_exact(spec: TrackerSpec, exam: Exam, advance: Advance) -> float:
    """Trains the reduced network itself, in a program of its own, and scores it."""
    let_go_if_many()
    experiment = exam.experiment
    objective = make_objective(None, {STUDENT: spec}, _plain(experiment))
    step = compiled(
        _train_step(objective, exam),
        options=quick_compilation(),
        donate_argnums=(0,),
    )
    state = _state(spec, _first_variables(spec, experiment.seed), exam)
    nothing = Constants()
    for batch in _batches(exam):
        state, _ = step(state, nothing, batch)
        advance()
    return make_exam_accuracy(spec, exam)(_variables(state))


def _make_masked(exam: Exam, advance: Advance) -> Score:
    """Returns a score that trains several candidates in one program.

    The candidates have the parent's shape and are reduced by masks.
    """
    experiment, search = exam.experiment, exam.experiment.search
    parent = exam.parent
    objective = make_objective(None, {STUDENT: parent}, _plain(experiment))
    step = over_candidates(_train_step(objective, exam), batching=search.batching)
    places = _places(search)
    accuracy = make_exam_accuracy(parent, exam)

    def score(specs: Sequence[TrackerSpec]) -> list[float]:
        found = []
        for first in range(0, len(specs), places):
            found += score_together(specs[first : first + places])
        return found

    def score_together(specs: Sequence[TrackerSpec]) -> list[float]:
        # The last network fills empty places, because the program's shape is fixed.
        filled = [*specs, *[specs[-1]] * (places - len(specs))]
        seed = experiment.seed
        first = [expand(_first_variables(s, seed), s, parent) for s in filled]
        masks = _stack([make_mask(spec, parent) for spec in filled])
        constants = Constants(masks={STUDENT: masks})
        states = _stack([_state(parent, variables, exam) for variables in first])
        for batch in _batches(exam):
            states, _ = step(states, constants, batch)
            advance()
        each = (
            jax.tree.map(lambda leaf, n=number: leaf[n], states)
            for number in range(len(specs))
        )
        return [accuracy(_variables(one)) for one in each]

    return score


def _plain(experiment: Experiment) -> Setting:
    """Returns the setting of candidates, which learn from the ground truth alone."""
    distill = with_row(experiment.distill, "NOKD")
    return experiment.setting._replace(distill=distill)


def _places(search: SearchConfig) -> int:
    """Returns the number of candidates that are trained at once, over all devices."""
    at_once = search.at_once or search.candidates
    devices = jax.local_device_count()
    return places_for(max(at_once, min(devices, search.candidates)), devices=devices)


def _stack(trees: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


def _train_step(objective: Any, exam: Exam) -> Any:
    experiment = exam.experiment
    return make_train_step(
        objective,
        _optimizer(exam),
        Crops(exam.parent.input, experiment.augment, experiment.seed),
        steps_per_epoch=max(experiment.search.pairs // experiment.search.batch, 1),
    )


def _optimizer(exam: Exam) -> optax.GradientTransformation:
    """Returns the experiment's optimizer with a constant learning rate.

    Candidates learn for so short a time that nothing rises or thaws.
    """
    optim = exam.experiment.optim
    constant = dataclasses.replace(
        optim,
        final_learning_rate=optim.learning_rate,
        rise_epochs=0.0,
        rate_per="step",
        parts=(),
    )
    return make_optimizer(constant, total_steps=exam.experiment.search.train_steps)


def _state(spec: TrackerSpec, variables: Variables, exam: Exam) -> TrainState:
    start = {STUDENT: variables}
    key = jax.random.key(0)  # unused: every weight is given
    return init_state(key, {STUDENT: spec}, _optimizer(exam), start=start)


def _first_variables(spec: TrackerSpec, seed: int) -> Variables:
    """Returns first weights that depend on architecture and seed alone."""
    key = jax.random.fold_in(jax.random.key(seed), int(spec_id(spec)[:7], 16))
    return init_variables(key, spec)


def _variables(state: TrainState) -> Variables:
    return {
        "params": state.params[STUDENT],
        "batch_stats": state.batch_stats[STUDENT],
    }


def _batches(exam: Exam) -> Any:
    search = exam.experiment.search
    return small_batches(
        exam.train,
        batch=search.batch,
        steps=search.train_steps,
        seed=exam.experiment.seed,
    )
