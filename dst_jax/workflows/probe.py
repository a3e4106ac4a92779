"""`dst-jax distill --probe` says how large terms are beside the loss on the labels."""

import dataclasses
import pathlib
from collections.abc import Mapping

from rich.console import Console

from dst_jax.experiment import Experiment
from dst_jax.train import Deadline, LoopConfig, Snapshot, first_best, fit
from dst_jax.workflows.printing import say
from dst_jax.workflows.progress import training_bar
from dst_jax.workflows.run_inputs import gather, read_networks
from dst_jax.workflows.run_parts import make_run
from dst_jax.workflows.train import first_state, own_logs

STEPS = 20
SHARE = 0.1  # of the loss on the labels


def probe_terms(
    experiment: Experiment,
    *,
    teacher: pathlib.Path | None = None,
    init: Mapping[str, pathlib.Path] | None = None,
    backbones: Mapping[str, pathlib.Path] | None = None,
    deadline: Deadline | None = None,
    console: Console,
) -> None:
    """Takes the first steps of a run, and prints the means of its terms over them.

    Each weighted term stands beside the student's loss on the labels, with the weight
    that would make it one tenth of that. Nothing is changed and nothing is saved. A
    warm-up, within which no term counts, is left out.

    Args:
      experiment: The configuration.
      teacher: Bundle of the frozen teacher; needed if a term reads the teacher.
      init: Bundles to begin from, by student.
      backbones: Bundles whose backbones students begin with, by student.
      deadline: Time by which it must have ended.
      console: Console for the bar and the lines.

    Raises:
      InputError: If configuration, data and teacher do not fit together.
      TimeUp: If the deadline ended it.
    """
    warmup = experiment.distill.warmup_epochs
    distill = dataclasses.replace(experiment.distill, warmup_epochs=0.0)
    experiment = dataclasses.replace(experiment, distill=distill)
    networks = read_networks(experiment, teacher, init or {}, backbones or {})
    given = gather(
        experiment, networks, verb="dst-jax distill --probe", console=console
    )
    run, state = make_run(given, 0, console, validates=False), first_state(given)
    steps, found = min(STEPS, run.total_steps), dict[str, float]()
    with training_bar(console, steps, 0) as shown:
        run = run._replace(
            total_steps=steps,
            report=lambda step, values: found.update(values),
            tick=shown.tick,
            deadline=deadline,
        )
        fit(Snapshot(state, first_best(state)), run, LoopConfig(log_every=steps))
    if warmup:
        say(
            console,
            f"without the warm-up of {warmup:g} epochs, in which no term counts",
        )
    for student in experiment.students:
        say(console, *_lines(student, experiment, found, steps))
    say(console, "nothing is changed or saved; a weight is --distill.TERM.weight")


def _lines(
    student: str, experiment: Experiment, found: Mapping[str, float], steps: int
) -> list[str]:
    """Returns what is said of one student."""
    task = found[f"gt/{student}"]
    lines = [f"{student}: loss on the labels {task:.4g}, mean of {steps} steps"]
    for name, term in experiment.distill.active.items():
        value = found.get(f"loss/{student}/{name}", 0.0)
        line = f"  {name}: {value:.4g} at weight {term.weight:g}"
        if value > 0.0 and task > 0.0:
            wanted = term.weight * SHARE * task / value
            line += f", {value / task:.1%} of it; one tenth at weight {wanted:.3g}"
        lines.append(line)
        logs = own_logs(found, student)
        for text in (term.probed(name, logs), term.remark(name, logs)):
            lines += [f"    {text}"] if text else []
    return lines
