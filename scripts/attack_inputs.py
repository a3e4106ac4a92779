"""What the attacks damage and kill: a tiny data set, tracker, run, search and pack."""

import multiprocessing
import os
import pathlib
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from dst_jax.command.main import main

CONFIG = """
from dst_jax import arch
from dst_jax.data.pipeline import DataConfig
from dst_jax.distill import DistillConfig, LabelConfig, with_row
from dst_jax.experiment import Experiment
from dst_jax.search import SearchConfig
from dst_jax.train import LoopConfig, OptimConfig


def experiment():
    tiny = arch.named("tiny")
    return Experiment(
        {{"one": tiny, "two": arch.with_widths(tiny, (2, 4, 4, 4, 4))}},
        DataConfig(("got10k:{data}",), batch=2, threads=0, validation_share=0.34),
        distill=with_row(DistillConfig(), "NOKD"),
        labels=LabelConfig(radius_px=8.0),
        optim=OptimConfig(epochs=3.0, pairs_per_epoch=4),
        loop=LoopConfig(log_every=1),
        search=SearchConfig(
            steps=3, candidates=2, min_width=2, pairs=4, epochs=1.0, batch=2,
            validation_pairs=4,
        ),
    )
"""


class Inputs(NamedTuple):
    """Files that the attacks begin from.

    Attributes:
      data: Synthetic videos in GOT-10k's layout.
      config: A configuration of two tiny students.
      tracker: A bundle.
      run: Workdir of a finished training.
      search: Workdir of a finished search.
      pack: A pack of the data.
    """

    data: pathlib.Path
    config: pathlib.Path
    tracker: pathlib.Path
    run: pathlib.Path
    search: pathlib.Path
    pack: pathlib.Path


class Refused(Exception):
    """Says that the program gave one line and exit code 2."""


class Outcome(NamedTuple):
    """What a command has done.

    Attributes:
      code: Its exit code.
      out: What it printed on standard output.
      err: What it printed on standard error.
    """

    code: int
    out: str
    err: str


def inputs(folder: pathlib.Path) -> Inputs:
    """Returns where the inputs lie in a folder."""
    return Inputs(
        folder / "data",
        folder / "tiny.py",
        folder / "run" / "bundles" / "one",
        folder / "run",
        folder / "search",
        folder / "pack",
    )


def make_data(folder: pathlib.Path, seed: int) -> None:
    """Makes the videos and the configuration, unless they are there."""
    from dst_jax.data.synthetic.dataset import SyntheticConfig, write_synthetic

    made = inputs(folder)
    sizes = SyntheticConfig(videos=6, length=12, height=90, width=120)
    write_synthetic(made.data, sizes, seed=seed)
    made.config.write_text(CONFIG.format(data=made.data))


def make_inputs(folder: pathlib.Path, seed: int) -> None:
    """Makes the inputs with the program's own commands, unless they are there."""
    made = inputs(folder)
    if made.pack.exists():
        return
    make_data(folder, seed)
    for words in (train_words(made), search_words(made), pack_words(made)):
        outcome = command(words)
        if outcome.code:
            raise SystemExit(f"{' '.join(words)}: {outcome.err}")


def train_words(made: Inputs) -> list[str]:
    """Returns the command that trains."""
    return ["train", str(made.config), "--workdir", str(made.run)]


def search_words(made: Inputs) -> list[str]:
    """Returns the command that searches."""
    teacher = ["--teacher", str(made.tracker)]
    return ["search", str(made.config), *teacher, "--workdir", str(made.search)]


def pack_words(made: Inputs) -> list[str]:
    """Returns the command that packs."""
    source = f"got10k:{made.data}"
    return [
        *("data", "pack", source, "--config", str(made.config)),
        *("--out", str(made.pack), "--workers", "1"),
    ]


def command(words: Sequence[str]) -> Outcome:
    """Runs the program in a process of its own; what libraries print counts too."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = pathlib.Path(folder, "out"), pathlib.Path(folder, "err")
        code = start(words, out, err=err).code()
        return Outcome(code, out.read_text(), err.read_text())


def obey(words: Sequence[str]) -> str:
    """Runs the program and returns its standard output.

    Raises:
      Refused: If it gave one line and exit code 2.
      AssertionError: If it ended in any other way than this or with success, or said
        anything besides.
    """
    code, out, err = command(words)
    if code == 0 and not err:
        return out
    if code == 2 and err.startswith("dst-jax: ") and err.count("\n") == 1:
        raise Refused(err.strip())
    raise AssertionError(f"exit {code}: {err.strip()}")


def forked(function: Callable[..., Any], *arguments: Any) -> Any:
    """Returns what a function returns in a process of its own.

    Each attack has its own, so that a crash of a library is an outcome like others; and
    JAX never starts in the parent, from which no process could be forked then.

    Raises:
      RuntimeError: If the process died, or the function raised an error.
    """
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)

    def run() -> None:
        try:
            sender.send((function(*arguments), None))
        except BaseException as error:
            sender.send((None, f"{type(error).__name__}: {error}"))

    process = fork.Process(target=run)
    process.start()
    sender.close()
    try:
        value, problem = receiver.recv()
    except EOFError:
        value, problem = None, "the process died"
    process.join()
    if problem:
        raise RuntimeError(problem)
    return value


class Child(NamedTuple):
    """A command in a process of its own that can be killed.

    Attributes:
      process: The process.
      log: The file with all that it prints.
      began: When it began, in seconds of `time.monotonic`.
    """

    process: Any
    log: pathlib.Path
    began: float

    def kill_at(self, seconds: float) -> bool:
        """Kills it when so long has passed; returns whether it was still running."""
        self.process.join(max(self.began + seconds - time.monotonic(), 0.0))
        alive = self.process.is_alive()
        if alive:
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.join()
        return alive

    def code(self) -> int:
        """Waits for its end and returns its exit code."""
        self.process.join()
        return int(self.process.exitcode)


def start(
    words: Sequence[str], log: pathlib.Path, *, err: pathlib.Path | None = None
) -> Child:
    """Starts a command in a forked process, which has all libraries loaded.

    Args:
      words: Words of the command.
      log: File for what it prints.
      err: File for what it prints on standard error; None for `log`.
    """

    def run() -> None:
        with log.open("w") as out, (err or log).open("a") as errors:
            os.dup2(out.fileno(), 1)
            os.dup2(errors.fileno(), 2)
        try:
            os._exit(main(words))
        except BaseException:
            traceback.print_exc()
            os._exit(1)

    process = multiprocessing.get_context("fork").Process(target=run)
    began = time.monotonic()
    process.start()
    return Child(process, log, began)
