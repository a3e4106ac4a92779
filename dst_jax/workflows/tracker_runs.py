"""Runs trackers on a data set and keeps what they do, video by video.

A video that cannot be used is left out for all trackers, and told at the end.
"""

import collections.abc
import pathlib
from collections.abc import Iterator, Mapping

from rich.console import Console

from dst_jax.bundle import Bundle
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError, counted, printable
from dst_jax.evaluate.protocols import ResetProtocol
from dst_jax.files import remove_leftovers
from dst_jax.workflows.evaluation import follow_bundle
from dst_jax.workflows.kept_results import (
    Results,
    bytes_of_results,
    require_file_names,
    require_results_place,
)
from dst_jax.workflows.pace import Pace, conditions
from dst_jax.workflows.printing import say
from dst_jax.workflows.resets import follow_bundle_with_resets
from dst_jax.workflows.runner import Outcome

# So many videos that cannot be used are told in the line that ends the command.
_TOLD = 10


class TrackerRuns:
    """Several trackers on one data set.

    Args:
      bundles: The trackers by name.
      sequences: The data set.
      out: Folder that gets a folder of files for each tracker; None for no files.
      resets: Protocol by which a tracker is started anew where it fails, or None.
      batch: Number of videos at a time; None for the default.

    Attributes:
      finished: What each tracker did that has seen all videos.
      faults: What is wrong with each video that cannot be used.

    Raises:
      InputError: If a folder cannot be used, or holds results of something else.
    """

    def __init__(
        self,
        bundles: Mapping[str, Bundle],
        sequences: collections.abc.Sequence[Sequence],
        *,
        out: pathlib.Path | None = None,
        resets: ResetProtocol | None = None,
        batch: int | None = None,
    ):
        self.finished: dict[str, Results] = {}
        self.faults: dict[str, InputError] = {}
        self._bundles, self._sequences, self._out = bundles, sequences, out
        self._resets = resets
        if out is not None:
            require_file_names(sequences)
        self._results: dict[str, Results] = {}
        for name, bundle in bundles.items():
            self._results[name] = found = Results(
                bundle,
                sequences,
                on=conditions(batch, bundle.spec),
                folder=None if out is None else out / name,
                resets=resets is not None,
            )
            if out is not None:
                space = bytes_of_results(found.missing)
                require_results_place(out / name, space=space)
        if out is not None:
            remove_leftovers(out)

    @property
    def usable(self) -> list[Sequence]:
        """Returns the videos in which nothing wrong was found."""
        return [s for s in self._sequences if s.name not in self.faults]

    @property
    def left_out(self) -> tuple[str, ...]:
        """Returns a sentence on the videos that cannot be used, if there are any."""
        if not self.faults:
            return ()
        names = ", ".join(printable(name) for name in self.faults)
        videos = counted(len(self._sequences), "video")
        return (
            f"Without {len(self.faults)} of {videos}, which cannot be used: {names}.",
        )

    def run(self, console: Console | None) -> None:
        """Runs all trackers, one after the other.

        Args:
          console: Console for progress; None for none.

        Raises:
          InputError: If a tracker answers with no finite number.
          KeyboardInterrupt: If one came; it says what is written.
        """
        for name in self._bundles:
            results = self._results[name]
            try:
                self._complete(name, results, console)
            except InputError as error:
                raise InputError(f"{name}: {error}") from None
            except KeyboardInterrupt:
                raise KeyboardInterrupt(self._where(name, results)) from None
            self.finished[name] = results

    def _complete(self, name: str, results: Results, console: Console | None) -> None:
        """Tracks the videos of which a tracker's results are missing."""
        missing = [s for s in results.missing if s.name not in self.faults]
        for outcome in self._outcomes(name, missing, results.pace, console):
            if outcome.fault is None:
                results.add(outcome.name, outcome.found)
                continue
            self.faults[outcome.name] = outcome.fault
            if console is not None:
                said = _named(outcome.name, outcome.fault)
                say(console, f"{said} The other videos go on.")
        if missing:
            results.finish()

    def _outcomes(
        self,
        name: str,
        sequences: collections.abc.Sequence[Sequence],
        pace: Pace,
        console: Console | None,
    ) -> Iterator[Outcome]:
        bundle, shown = self._bundles[name], {"name": name, "console": console}
        if not sequences:
            return iter(())
        if self._resets is None:
            return follow_bundle(bundle, sequences, pace=pace, **shown)
        return follow_bundle_with_resets(
            bundle, sequences, self._resets, pace=pace, **shown
        )

    def _where(self, name: str, results: Results) -> str:
        """Returns what an interrupted run has left."""
        done = f"{len(results.boxes)} of {counted(len(self._sequences), 'video')}"
        if self._out is None:
            return f"interrupted; {name} had done {done}, which --results-out keeps"
        return (
            f"interrupted; {self._out / name} has {done}, and the same command goes on"
        )

    def require_sound(self) -> None:
        """Returns if all videos could be used and all files were written.

        Raises:
          InputError: If a video could not; it names them.
          OSError: If a file could not be written.
        """
        for results in self._results.values():
            if results.failed is not None:
                raise results.failed
        if not self.faults:
            return
        told = [_named(name, fault) for name, fault in self.faults.items()][:_TOLD]
        more = len(self.faults) - len(told)
        told += [f"and {more} more."] if more else []
        videos = counted(len(self._sequences), "video")
        raise InputError(
            f"{len(self.faults)} of {videos} cannot be used: {' '.join(told)}"
        )


def _named(name: str, fault: InputError) -> str:
    """Returns what is wrong with a video, with its name."""
    return str(fault) if printable(name) in str(fault) else f"{name}: {fault}"
