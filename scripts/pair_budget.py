"""Fits the pairs of a run's rows into a number of minutes, from a short trial."""

import collections
import dataclasses
import math
import pathlib
import time
from collections.abc import Iterable

from rich.console import Console

from dst_jax.bundle import load_bundle
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError
from dst_jax.experiment import Experiment
from dst_jax.files import remove_folder
from dst_jax.train import Deadline
from dst_jax.workflows.evaluation import evaluate_bundle
from dst_jax.workflows.train import run_training

# Share of the minutes that is left free, since other work on a machine comes and goes.
RESERVE = 0.1
# Steps of each of a trial's two epochs; the first of all compiles.
TRIAL_STEPS = 6
# Frames of each video in a trial of tracking.
TRIAL_FRAMES = 10


@dataclasses.dataclass(frozen=True)
class Work:
    """Work of one kind.

    Attributes:
      times: How often it is done.
      fixed_s: Seconds that it takes each time, whatever the number of pairs.
      pair_s: Seconds for each of its pairs.
      share: Number of its pairs for each pair of a row.
    """

    times: int
    fixed_s: float
    pair_s: float = 0.0
    share: float = 1.0


@dataclasses.dataclass(frozen=True)
class Trial:
    """What a short training took.

    Attributes:
      fixed_s: Seconds of a whole run besides its steps: compilation, validations,
        checkpoints.
      pair_s: Seconds of a pair.
      bundles: Folders of the networks, by name.
    """

    fixed_s: float
    pair_s: float
    bundles: dict[str, pathlib.Path]


def pairs_that_fit(
    minutes: float, works: Iterable[Work], *, spent_s: float, multiple: int
) -> int:
    """Returns the pairs of a row with which all work ends within a number of minutes.

    Args:
      minutes: The budget, of which `RESERVE` is left free.
      works: All work that is to be done.
      spent_s: Seconds of the budget that are gone already.
      multiple: Number of pairs of which the result is a multiple.

    Raises:
      InputError: If not even one multiple fits.
    """
    works = list(works)
    fixed = spent_s + sum(work.times * work.fixed_s for work in works)
    pair = sum(work.times * work.share * work.pair_s for work in works)
    usable = 60.0 * (1.0 - RESERVE)
    count = math.floor((minutes * usable - fixed) / (pair * multiple))
    if count < 1:
        least = math.ceil((fixed + pair * multiple) / usable)
        raise InputError(
            f"--minutes {minutes:g}: compiling, validating and tracking take "
            f"{fixed / 60.0:.1f} minutes without any pair, and {pair:.2f} s for each; "
            f"give at least {least}, or fewer --rows or --seeds."
        )
    return count * multiple


class Stopwatch(Deadline):
    """A deadline that never comes, and keeps how long each part of a run took.

    Attributes:
      laps: Seconds of each "first step", "step", "validation" and "checkpoint".
    """

    def __init__(self):
        super().__init__(math.inf)
        self.laps: dict[str, list[float]] = collections.defaultdict(list)

    def took(self, part: str, seconds: float) -> None:
        """Keeps how long a part took."""
        self.laps[part].append(seconds)
        super().took(part, seconds)


def try_training(
    experiment: Experiment,
    workdir: pathlib.Path,
    *,
    teacher: pathlib.Path | None,
    console: Console,
) -> Trial:
    """Trains for two short epochs, in place of `experiment`'s, and times the parts.

    Args:
      experiment: The run that is to be estimated.
      workdir: Folder of the trial; one that was left there is removed.
      teacher: Bundle of the frozen teacher, if there is one.
      console: Console for messages.
    """
    if workdir.exists():
        remove_folder(workdir)
    pairs = TRIAL_STEPS * experiment.data.batch
    optim = dataclasses.replace(experiment.optim, epochs=2.0, pairs_per_epoch=pairs)
    watch, began = Stopwatch(), time.perf_counter()
    trained = run_training(
        dataclasses.replace(experiment, optim=optim),
        workdir,
        teacher=teacher,
        verb="a trial",
        deadline=watch,
        console=console,
    )
    seconds, laps = time.perf_counter() - began, watch.laps
    # The last of each comes once an epoch; the first ones may have compiled.
    ends_s = laps["validation"][-1] + laps["checkpoint"][-1]
    fixed = seconds - sum(laps["step"]) - ends_s
    return Trial(
        fixed_s=fixed + (experiment.optim.epochs - 1.0) * ends_s,
        pair_s=sum(laps["step"]) / len(laps["step"]) / experiment.data.batch,
        bundles=trained.bundles,
    )


def tracking_seconds(
    bundles: Iterable[pathlib.Path], videos: tuple[Sequence, ...]
) -> float:
    """Returns an estimate of the seconds in which trackers follow all videos.

    Every video's first frames are tracked, so that all programs are compiled.

    Args:
      bundles: Folders of the trackers.
      videos: The videos.
    """
    begun = tuple(_beginning(video) for video in videos)
    rest = sum(map(len, videos)) - sum(map(len, begun))
    seconds = 0.0
    for path in bundles:
        began = time.perf_counter()
        found = evaluate_bundle(load_bundle(path), begun, name="trial")
        seconds += time.perf_counter() - began + rest / found.fps
    return seconds


def _beginning(video: Sequence) -> Sequence:
    """Returns the first frames of a video."""
    first = slice(TRIAL_FRAMES)
    return dataclasses.replace(
        video,
        frames=video.frames[first],
        boxes=video.boxes[first],
        visible=video.visible[first],
        stated=None if video.stated is None else video.stated[first],
        covered=None if video.covered is None else video.covered[first],
    )
