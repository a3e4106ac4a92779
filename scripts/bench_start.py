"""Seconds that a command spends compiling when it is called first, and again.

    python scripts/bench_start.py train demo_teacher --workdir WORKDIR \
        --data.sources got10k:train --optim.epochs 1 --optim.pairs_per_epoch 64
    python scripts/bench_start.py demo --workdir WORKDIR

The words are those of `dst-jax`; WORKDIR stands for a new folder in each call. Both
calls keep their programs in one folder that is empty at the beginning. Programs with
oneDNN's kernels cannot be kept: DST_JAX_KERNELS=eigen has others.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
from typing import NamedTuple

_CALL = """
import sys
from dst_jax.command.main import main
from dst_jax.workflows.compilations import counted
with counted() as found:
    code = main(sys.argv[1:])
print(f"COUNTED {found.programs} {found.read} {found.program_s} {found.traced_s}")
sys.exit(code)
"""


class Start(NamedTuple):
    """What a call compiled.

    Attributes:
      programs: Number of programs.
      read: How many of them had been kept.
      program_s: Seconds until all were there, compiled or read.
      traced_s: Seconds of tracing.
    """

    programs: int
    read: int
    program_s: float
    traced_s: float


def start(words: list[str], programs: pathlib.Path, workdir: pathlib.Path) -> Start:
    """Calls `dst-jax` once, and returns what it compiled.

    Args:
      words: Words of the command line.
      programs: Folder that keeps programs.
      workdir: What the word WORKDIR stands for.
    """
    given = [str(workdir) if word == "WORKDIR" else word for word in words]
    done = subprocess.run(
        [sys.executable, "-c", _CALL, *given],
        env={**os.environ, "XDG_CACHE_HOME": str(programs)},
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise SystemExit(done.stdout)
    _, programs_, read, *seconds = done.stdout.splitlines()[-1].split()
    return Start(int(programs_), int(read), *map(float, seconds))


def main() -> None:
    """Calls the command twice, and prints both."""
    if not sys.argv[1:]:
        raise SystemExit(__doc__)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "cache").mkdir()
        runs = [
            start(sys.argv[1:], folder / "cache", folder / f"run{number}")
            for number in (1, 2)
        ]
    for name, run in zip(("first", "again"), runs, strict=True):
        print(
            f"{name}: {run.programs - run.read} programs compiled and {run.read} read "
            f"in {run.program_s:.1f} s, traced in {run.traced_s:.1f} s"
        )
    print(f"again / first: {runs[1].program_s / runs[0].program_s:.1%}")


if __name__ == "__main__":
    main()
