"""Compares the learning policy with random search, on a toy and on real trainings.

    python scripts/compare_policies.py
    python scripts/compare_policies.py --rates 0.01 --seeds 1000 1001 1002 1003
    python scripts/compare_policies.py --workdir runs/policies --seeds 0 1 2
    python scripts/compare_policies.py --workdir runs/policies --seeds 0 1 2 --report

Without --workdir the reward is a toy's, which costs nothing (scripts/policy_toy.py).

With it every seed has its own synthetic video, its own teacher, and two searches in
the setting of configs/search_mini.py: REINFORCE, and uniform actions at an equal number
of candidates. Then some networks are trained anew, longer, from other first weights and
on other pairs, because the best of many noisy rewards looks better than it is: the best
network of either search, the best of REINFORCE's last step, and the teacher at a
uniform width that is as large as REINFORCE's best.

A stage that is finished is kept, and a search goes on where it was stopped, so that the
same command goes on and another one adds seeds; with --report it prints the tables of
what is finished and draws the plot after Fig. 4 (scripts/policy_report.py), and runs
none.
"""

import argparse
import dataclasses
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import Any, Literal

import jax
import numpy as np
import policy_report
import policy_toy
from rich.console import Console

from dst_jax.arch import TrackerSpec, named, plain_layers, scale_widths, tracker_cost
from dst_jax.bundle import Bundle, load_bundle
from dst_jax.command.startup import silence_decoders, start_jax
from dst_jax.configs import demo_teacher, search_mini
from dst_jax.errors import InputError, printable
from dst_jax.evaluate.style import figure_to_png
from dst_jax.experiment import Experiment, config_hash, experiment_to_json
from dst_jax.files import read_json, require_place, user_path, write_bytes, write_json
from dst_jax.search import Trial, compression, reward
from dst_jax.search.reward import Size, size_of
from dst_jax.search.space import SHRINKAGE
from dst_jax.workflows.demo_video import TRAIN_VIDEOS, write_video
from dst_jax.workflows.scoring import make_exam, make_exam_accuracy, make_score
from dst_jax.workflows.search import search_student
from dst_jax.workflows.train import run_training
from dst_jax.workflows.training_data import load_data
from dst_jax.workflows.versions import versions

RESULT, PLOT = "result.json", "policies.png"
# The networks that are trained anew see this many times the pairs of a candidate, and
# each of them is trained this often.
LONGER, JUDGED = 4, 3
# Seeds of those trainings begin here, far from those of the searches.
_JUDGES = 1_000_000
# A quarter of the demonstration's videos, and a teacher of mini's widths and 6,400
# pairs in place of 16,000, so that most of the time is for the searches.
VIDEOS = dataclasses.replace(TRAIN_VIDEOS, videos=120)
TEACHER_EPOCHS = 4.0
# Of the video, checkpoints and ledgers of one seed, in bytes.
_SPACE = 50_000_000


def experiment_of(
    seed: int, source: str, *, sampler: Literal["policy", "uniform"] = "policy"
) -> Experiment:
    """Returns the search of a seed.

    Args:
      seed: Seed of policy, first weights and pairs.
      source: Source of training videos.
      sampler: What proposes candidates.
    """
    base = search_mini.experiment()
    data = dataclasses.replace(base.data, sources=(source,))
    search = dataclasses.replace(base.search, sampler=sampler)
    return dataclasses.replace(base, data=data, search=search, seed=seed)


def judge_of(seed: int, source: str, number: int) -> Experiment:
    """Returns the longer training of found networks, `number` of `JUDGED`."""
    base = experiment_of(_JUDGES + JUDGED * seed + number, source)
    search = dataclasses.replace(
        base.search, pairs=LONGER * base.search.pairs, at_once=1
    )
    return dataclasses.replace(base, search=search)


def teacher_of(seed: int, source: str) -> Experiment:
    """Returns the training of a seed's teacher."""
    base = demo_teacher.experiment()
    data = dataclasses.replace(base.data, sources=(source,))
    optim = dataclasses.replace(base.optim, epochs=TEACHER_EPOCHS)
    students = {"teacher": named("mini")}
    return dataclasses.replace(
        base, data=data, optim=optim, students=students, seed=seed
    )


def setting(seed: int) -> str:
    """Returns a digest of what the result of a seed depends on."""
    source = "got10k:train"
    stages = [teacher_of(seed, source), experiment_of(seed, source)]
    stages += [judge_of(seed, source, number) for number in range(JUDGED)]
    video = dataclasses.asdict(VIDEOS)
    return config_hash({"stages": [*map(experiment_to_json, stages)], "video": video})


def uniform_width(parent: TrackerSpec, target: int, size: Size) -> TrackerSpec:
    """Returns `parent` with all widths times one factor, nearest in size to `target`.

    Args:
      parent: The teacher's architecture.
      target: S of eq. 6 that is wanted.
      size: What S counts.
    """
    factors = np.linspace(0.02, 1.0, 197)
    networks = [scale_widths(parent, float(factor)) for factor in factors]
    return min(networks, key=lambda spec: abs(size_of(spec, size) - target))


def numbers_of(trials: Sequence[Trial], candidates: int) -> dict[str, Any]:
    """Returns rewards, accuracies and compressions of trials by step and candidate.

    What has no network has no accuracy and no compression.
    """
    found: dict[str, Any] = {}
    for field in policy_report.PANELS:
        is_reward = field == "reward"
        values = [
            getattr(trial, field) if is_reward or trial.spec is not None else None
            for trial in trials
        ]
        steps = range(0, len(values), candidates)
        found[field] = [values[first : first + candidates] for first in steps]
    return found


def run_seed(folder: pathlib.Path, seed: int, console: Console) -> None:
    """Runs what is missing of a seed and writes its result after every stage."""
    values = read_result(folder, seed)
    if "judged" in values:
        return
    require_place(folder / RESULT, space=_SPACE)
    folder.mkdir(parents=True, exist_ok=True)
    source = f"got10k:{folder / 'train'}"
    teacher = _make_teacher(folder, seed, source, console)
    best: dict[str, TrackerSpec] = {}
    for name, sampler in policy_report.SAMPLERS.items():
        began = time.perf_counter()
        experiment = experiment_of(seed, source, sampler=sampler)
        found = search_student(
            experiment, folder / name.lower(), teacher=teacher, console=console
        )
        assert found.best.spec is not None
        best[name] = found.best.spec
        if sampler == "policy":
            best[policy_report.LAST] = best_of_last_step(found.trials) or best[name]
        seconds = sum(trial.seconds for trial in found.trials)
        numbers = numbers_of(found.trials, experiment.search.candidates)
        values[name] = {**numbers, "seconds": seconds}
        write_result(folder, seed, values)
        first, last = policy_report.quarters(numbers["reward"])
        tell(seed, name, began, f"reward {first:.3f}, then {last:.3f}")
    began = time.perf_counter()
    values["judged"] = judge(seed, source, teacher, best, console)
    write_result(folder, seed, values)
    means = {name: np.mean(one["reward"]) for name, one in values["judged"].items()}
    text = ", ".join(f"{name} {mean:.3f}" for name, mean in means.items())
    tell(seed, "judged", began, text)


def _make_teacher(
    folder: pathlib.Path, seed: int, source: str, console: Console
) -> pathlib.Path:
    """Makes a seed's video and teacher, if they are missing; returns its bundle."""
    began = time.perf_counter()
    write_video(folder / "train", VIDEOS, seed=2 * seed, console=console)
    trained = run_training(
        teacher_of(seed, source),
        folder / "teacher",
        verb="scripts/compare_policies.py",
        console=console,
    )
    tell(seed, "teacher", began, "ready")
    return trained.bundles["teacher"]


def best_of_last_step(trials: Sequence[Trial]) -> TrackerSpec | None:
    """Returns the network of highest reward of the last step, None if it has none."""
    last = [trial for trial in trials if trial.step == trials[-1].step]
    return max(last, key=lambda trial: trial.reward).spec


def judge(
    seed: int,
    source: str,
    teacher: pathlib.Path,
    best: dict[str, TrackerSpec],
    console: Console,
) -> dict[str, Any]:
    """Returns sizes and scores of found networks and of a uniform width, anew.

    The uniform width is scored as a candidate of the search too, for the plot.
    """
    bundle, size = load_bundle(teacher), search_mini.experiment().search.size
    target = size_of(best["REINFORCE"], size)
    even = uniform_width(bundle.spec, target, size)
    networks = {**best, policy_report.UNIFORM_WIDTH: even}
    found = {name: _shape(spec) for name, spec in networks.items()}
    for number in range(JUDGED):
        experiment = judge_of(seed, source, number)
        scored = _scores(experiment, bundle, list(networks.values()), console)
        for one, scores in zip(found.values(), scored, strict=True):
            for field, value in scores.items():
                one.setdefault(field, []).append(value)
    experiment = experiment_of(seed, source)
    (candidate,) = _scores(experiment, bundle, [even], console)
    found[policy_report.UNIFORM_WIDTH][policy_report.CANDIDATE] = candidate
    return found


def _shape(spec: TrackerSpec) -> dict[str, Any]:
    cost, layers = tracker_cost(spec), plain_layers(spec.backbone, SHRINKAGE)
    return {
        "widths": list(spec.backbone.widths),
        "kernels": [layer.kernel for layer in layers],
        "parameters": cost.parameters,
        "search_macs": cost.search_macs,
    }


def _scores(
    experiment: Experiment,
    teacher: Bundle,
    networks: Sequence[TrackerSpec],
    console: Console,
) -> list[dict[str, float]]:
    """Returns reward, accuracy and compression of networks that a search trains."""
    exam = make_exam(experiment, teacher, *load_data(experiment, console), console)
    whole = make_exam_accuracy(teacher.spec, exam)(teacher.variables)
    found = []
    for spec, scored in zip(networks, make_score(exam)(networks), strict=True):
        saved = compression(spec, teacher.spec, size=experiment.search.size)
        # A training that diverged counts as nothing, as in the search.
        accuracy = 0.0 if np.isnan(scored) else scored
        gain = reward(accuracy, whole, saved)
        found.append({"reward": gain, "accuracy": accuracy, "compression": saved})
    return found


def read_result(folder: pathlib.Path, seed: int) -> dict[str, Any]:
    """Returns what is finished of a seed.

    Raises:
      InputError: If it was made with another setting, or is damaged.
    """
    path = folder / RESULT
    if not path.exists():
        return {}
    values = read_json(path)
    if values.get("setting") != setting(seed):
        raise InputError(
            f"{path}: was made with another setting of this script; choose another "
            "--workdir, or remove the folder of its seed."
        )
    return values


def write_result(folder: pathlib.Path, seed: int, values: dict[str, Any]) -> None:
    """Writes what is finished of a seed."""
    card = {"seed": seed, "setting": setting(seed), "versions": versions()}
    write_json(folder / RESULT, {**values, **card}, sort_keys=False)


def tell(seed: int, name: str, began: float, text: str) -> None:
    """Prints the line of a stage, with the time of day and its duration."""
    now, took = time.strftime("%H:%M:%S"), time.perf_counter() - began
    print(f"{now} seed {seed} {name}: {text}   {took:.0f} s", flush=True)


def run_seeds(workdir: pathlib.Path, seeds: Sequence[int], *, only_report: bool) -> str:
    """Runs what is missing of the seeds, draws the plot and returns the tables."""
    workdir = user_path(workdir)
    folders = {seed: workdir / f"seed-{seed}" for seed in seeds}
    if not only_report:
        silence_decoders()
        start_jax()
        for seed, folder in folders.items():
            run_seed(folder, seed, Console(quiet=True))
            # Programs of a seed are of no use to the next.
            jax.clear_caches()
    found = {seed: read_result(folder, seed) for seed, folder in folders.items()}
    if not (found := {seed: values for seed, values in found.items() if values}):
        raise InputError(f"{workdir}: no search of these seeds is finished.")
    plot = figure_to_png(policy_report.policies_plot(found))
    write_bytes(workdir / PLOT, plot)
    tables = (
        policy_report.search_table(found),
        policy_report.judged_table(found),
        policy_report.difference_table(found),
    )
    return "\n\n".join(tables)


def main() -> None:
    """Prints the toy's table, or runs the searches and prints theirs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument(
        "--seeds", type=int, nargs="+", help="0 to 19 of the toy, 0 1 2 of searches"
    )
    parser.add_argument("--rates", type=float, nargs="+", default=[0.01, 0.03, 0.1])
    parser.add_argument("--updates", type=int, default=50, help="of the toy")
    parser.add_argument("--rollouts", type=int, default=3, help="of the toy")
    parser.add_argument("--workdir", type=pathlib.Path, help="of real searches")
    parser.add_argument("--report", action="store_true", help="print tables, run none")
    args = parser.parse_args()
    began = time.perf_counter()
    seeds = args.seeds or range(3 if args.workdir else 20)
    try:
        if args.workdir:
            print(run_seeds(args.workdir, seeds, only_report=args.report))
            return
        sizes = {"updates": args.updates, "rollouts": args.rollouts}
        print(policy_toy.table(args.rates, seeds, **sizes))
        spent = time.perf_counter() - began
        print(f"\n{len(seeds)} seeds, {args.updates} x {args.rollouts}, {spent:.0f} s")
    except InputError as error:
        sys.exit(f"compare_policies.py: {printable(str(error))}")
    except KeyboardInterrupt as end:
        sys.exit(
            f"compare_policies.py: {printable(str(end))}; the same command goes on."
        )


if __name__ == "__main__":
    main()
