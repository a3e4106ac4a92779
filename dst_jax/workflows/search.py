"""`dst-jax search` finds the architecture of the dull student for a teacher."""

import collections.abc
import dataclasses
import pathlib
import platform
import time
from typing import Any

import jax
from rich.console import Console

from dst_jax.arch import TrackerSpec, plain_layers, spec_to_json, tracker_cost
from dst_jax.bundle import Bundle, load_bundle
from dst_jax.errors import InputError
from dst_jax.evaluate.style import figure_to_png
from dst_jax.experiment import Experiment, experiment_to_json, without
from dst_jax.files import user_path, write_bytes, write_json
from dst_jax.search import (
    Ledger,
    Summary,
    Trial,
    append_step,
    check_rewards,
    check_space,
    check_summary,
    read_ledger,
    read_summary,
    run_search,
    write_summary,
)
from dst_jax.search.space import SHRINKAGE
from dst_jax.train import Deadline, TimeUp
from dst_jax.workflows.printing import say
from dst_jax.workflows.progress import waiting
from dst_jax.workflows.scoring import (
    Exam,
    exam_patch,
    make_exam,
    make_exam_accuracy,
    make_score,
)
from dst_jax.workflows.search_bar import search_bar
from dst_jax.workflows.search_plot import search_plot
from dst_jax.workflows.training_data import data_hash, load_data, require_packs
from dst_jax.workflows.workdir import LEDGER, open_workdir

STUDENT_FILE, PLOT, SUMMARY = "student.json", "search.png", "search.json"
# Multiply-adds of a search crop: above the miniatures', below those of full trackers.
_QUICKLY_COMPILED = 5e8
# The search does not read these settings.
_UNREAD = ("students", "loop", "tracking")


@dataclasses.dataclass(frozen=True)
class Searched:
    """The results of a search.

    Attributes:
      student: JSON file of the best architecture, for `--student dull=FILE`.
      plot: File with a plot of reward, accuracy and compression over the steps.
      best: The best trial.
      trials: All trials.
      teacher_accuracy: Accuracy of the teacher, acc_t of eq. 6.
      seconds: Duration of the call in seconds.
    """

    student: pathlib.Path
    plot: pathlib.Path
    best: Trial
    trials: collections.abc.Sequence[Trial]
    teacher_accuracy: float
    seconds: float


def search_student(
    experiment: Experiment,
    workdir: pathlib.Path,
    *,
    teacher: pathlib.Path,
    deadline: Deadline | None = None,
    console: Console,
) -> Searched:
    """Searches the dull student's architecture, or continues the search in `workdir`.

    A finished search continues if it is called with more steps.

    Args:
      experiment: Its settings but `students`, `loop` and `tracking`.
      workdir: Folder for configuration, ledger, plot, student.json and search.json,
        which has the student's reward and accuracy.
      teacher: Bundle of the teacher, whose architecture is reduced.
      deadline: Time by which the search must have ended, finished or not.
      console: Console for the bar and messages.

    Returns:
      Files and trials of the search.

    Raises:
      InputError: If configuration, data, teacher and workdir do not fit together.
      TimeUp: If the deadline ended the search.
    """
    if jax.process_count() > 1:
        raise InputError(
            "dst-jax search spreads candidates over the devices of one process; "
            "start it on one host."
        )
    began, workdir = time.perf_counter(), user_path(workdir)
    bundle = load_bundle(teacher)
    check_space(bundle.spec, experiment.search)
    require_packs(experiment.data, exam_patch(experiment, bundle.spec))
    train_set, validation_set = load_data(experiment, console)
    config = {
        "experiment": _identity(experiment),
        "teacher": bundle.weights_sha256,
        "data": data_hash(train_set),
    }
    with open_workdir(workdir, config):
        summary, ledger = _read_state(workdir, experiment, console)
        done = _steps_done(workdir, ledger.trials, experiment)
        if done == experiment.search.steps and summary is not None:
            say(console, f"{workdir}: the search is finished.")
            accuracy = summary.teacher_accuracy
            _check_finished(ledger.trials, summary, bundle.spec, experiment)
        else:
            if done:
                total = experiment.search.steps
                say(console, f"{workdir}: goes on at step {done} of {total}.")
            exam = make_exam(experiment, bundle, train_set, validation_set, console)
            with waiting(console, "scoring the teacher"):
                accuracy = _teacher_accuracy(teacher, bundle, exam)
            _announce(exam, console)
            ledger = _search(exam, accuracy, ledger, deadline, console)
        best = _leave(workdir, ledger, accuracy)
    seconds = time.perf_counter() - began
    student, plot = workdir / STUDENT_FILE, workdir / PLOT
    return Searched(student, plot, best, ledger.trials, accuracy, seconds)


def _read_state(
    workdir: pathlib.Path, experiment: Experiment, console: Console
) -> tuple[Summary | None, Ledger]:
    """Returns what an earlier call has left, checked against what it wrote of it."""
    summary = read_summary(workdir / SUMMARY)
    ledger = read_ledger(
        workdir / LEDGER,
        candidates=experiment.search.candidates,
        finished=(summary.candidates, summary.ledger) if summary else (0, None),
    )
    if summary is not None:
        check_summary(workdir / SUMMARY, summary, ledger.trials)
    if not (ledger.is_protected or (summary and summary.ledger)):
        say(
            console,
            f"{workdir / LEDGER}: an earlier version wrote it without digests; rewards "
            "are recomputed, but an edited accuracy would not be noticed.",
        )
    return summary, ledger


def _check_finished(
    trials: collections.abc.Sequence[Trial],
    summary: Summary,
    parent: TrackerSpec,
    experiment: Experiment,
) -> None:
    """Repeats all of a finished search that needs no training."""
    accuracy, search = summary.teacher_accuracy, experiment.search
    if summary.platform != _platform():
        check_rewards(parent, accuracy, trials, search)
        return

    def never(specs: collections.abc.Sequence[TrackerSpec]) -> list[float]:
        raise AssertionError(
            f"{len(specs)} networks of a finished search are asked for"
        )

    run_search(
        parent,
        accuracy,
        never,
        config=search,
        policy=experiment.policy,
        seed=experiment.seed,
        past=trials,
    )


def _platform() -> str:
    """Returns what the rounding of the policy's updates depends on."""
    return f"jax {jax.__version__}, {jax.default_backend()}, {platform.machine()}"


def _identity(experiment: Experiment) -> dict[str, Any]:
    """Returns the settings of a search that a call with more steps may not change."""
    values = without(experiment_to_json(experiment), *_UNREAD)
    return {**values, "search": without(values["search"], "steps")}


def _steps_done(
    workdir: pathlib.Path, past: collections.abc.Sequence[Trial], experiment: Experiment
) -> int:
    done, steps = len(past) // experiment.search.candidates, experiment.search.steps
    if done > steps:
        raise InputError(
            f"--search.steps {steps}: {workdir} already holds {done} steps; ask for "
            f"{done} or more, or choose another folder."
        )
    return done


def _search(
    exam: Exam,
    teacher_accuracy: float,
    ledger: Ledger,
    deadline: Deadline | None,
    console: Console,
) -> Ledger:
    """Continues the search after `ledger`; appends each finished step to it."""
    experiment, past = exam.experiment, ledger.trials
    with search_bar(console, experiment.search, past) as bar:

        def report(trials: collections.abc.Sequence[Trial]) -> None:
            nonlocal ledger
            ledger = append_step(ledger, trials)
            line = bar.finish_step(trials)
            if not console.is_terminal:  # a log shows no bar before its end
                say(console, line)
            if deadline:
                _end_in_time(deadline, trials[0].step + 1, experiment.search.steps)

        run_search(
            exam.parent,
            teacher_accuracy,
            make_score(exam, advance=bar.advance),
            config=experiment.search,
            policy=experiment.policy,
            seed=experiment.seed,
            past=past,
            report=report,
        )
    return ledger


def _announce(exam: Exam, console: Console) -> None:
    """Says beforehand that a large program takes long to compile."""
    if tracker_cost(exam.parent).search_macs > _QUICKLY_COMPILED:
        say(
            console,
            "the first step compiles for minutes on few cores; XLA may call that "
            '"Very slow compile?", which is no fault. Fewer candidates at once '
            "(--search.at_once 1) compile faster.",
        )


def _end_in_time(deadline: Deadline, done: int, steps: int) -> None:
    """Raises TimeUp if the next step of the search could end too late."""
    deadline.passed("step of the search")
    if done < steps and deadline.is_near("step of the search"):
        raise TimeUp(f"after step {done} of {steps} of the search, which is saved")


def _teacher_accuracy(path: pathlib.Path, bundle: Bundle, exam: Exam) -> float:
    """Returns acc_t of eq. 6, which must be positive."""
    accuracy = make_exam_accuracy(bundle.spec, exam)(bundle.variables)
    if not accuracy > 0.0:
        raise InputError(
            f"--teacher {path}: its accuracy on the held-out pairs is {accuracy}, so "
            "that eq. 6 means nothing; give a trained teacher."
        )
    return accuracy


def _leave(workdir: pathlib.Path, ledger: Ledger, teacher_accuracy: float) -> Trial:
    """Writes the best architecture, its scores and the plot; returns its trial."""
    best = write_summary(
        workdir / SUMMARY,
        ledger,
        teacher_accuracy=teacher_accuracy,
        platform=_platform(),
    )
    assert best.spec is not None
    write_json(workdir / STUDENT_FILE, spec_to_json(best.spec))
    write_bytes(workdir / PLOT, figure_to_png(search_plot(ledger.trials)))
    return best


def print_searched(searched: Searched, console: Console) -> None:
    """Prints the network that was found, its scores, and the files of the search."""
    best = searched.best
    assert best.spec is not None
    layers, head = plain_layers(best.spec.backbone, SHRINKAGE), best.spec.head
    cost = tracker_cost(best.spec)
    read = f"head {head.stage.features}, " if head.stage else ""
    say(
        console,
        f"best of {len(searched.trials)}: widths {list(best.spec.backbone.widths)}, "
        f"{read}kernels {[layer.kernel for layer in layers]}, "
        f"{cost.parameters:,} parameters ({cost.megabytes:.3f} MB)",
        f"reward {best.reward:.4f}: compression {best.compression:.4f}, "
        f"accuracy {best.accuracy:.4f}, teacher's {searched.teacher_accuracy:.4f}",
        f"{searched.student}   {searched.plot}   {searched.seconds:.0f} s",
    )
