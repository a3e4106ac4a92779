"""Seconds of a command before its first step, when it is called first and again.

    python scripts/bench_start.py train demo_teacher --workdir WORKDIR \
        --data.sources got10k:train --optim.epochs 1 --optim.pairs_per_epoch 64
    python scripts/bench_start.py demo --workdir WORKDIR
    python scripts/bench_start.py --beside --xla_gpu_autotune_level=0 \
        --beside "--xla_gpu_autotune_level=1 --xla_gpu_enable_triton_gemm=false" \
        distill siamfc_dst_short --teacher BUNDLE --workdir WORKDIR \
        --data.sources got10k:train --optim.epochs 1 --optim.pairs_per_epoch 64

The words are those of `dst-jax`; WORKDIR stands for a new folder in each call. Both
calls keep their programs in one folder that is empty at the beginning. Programs with
oneDNN's kernels cannot be kept: DST_JAX_KERNELS=eigen has others.

A training is taken apart: importing libraries, finding the device, "start" (data and
bundles), "compilation" (the first step, its tracing included) and what came after; and
the programs that took longest are named. Each --beside is called too, with so much more
in XLA_FLAGS, and with programs of its own. All first calls run at the same time, and
then all second ones: they share cores and device, so that only they compare.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from dst_jax.train import TIMES, read_times

_CALL = """
import json, sys, time
began = time.perf_counter()
from dst_jax.command.startup import silence_decoders
silence_decoders()
import jax
import dst_jax.command.main, dst_jax.workflows.train
from dst_jax.workflows.compilations import counted
imported = time.perf_counter()
jax.devices()
there = time.perf_counter()
names = {}
def note(event, seconds, fun_name="", **_):
    if event == "/jax/core/compile/backend_compile_duration":
        names[fun_name] = names.get(fun_name, 0.0) + seconds
jax.monitoring.register_event_duration_secs_listener(note)
with counted() as found:
    code = dst_jax.command.main.main(sys.argv[1:])
told = {"programs": found.programs, "read": found.read, "program_s": found.program_s,
        "traced_s": found.traced_s, "names": names, "libraries_s": imported - began,
        "device_s": there - imported, "whole_s": time.perf_counter() - began}
print("COUNTED " + json.dumps(told))
sys.exit(code)
"""
# Programs would be kept elsewhere, where they may be already, or others than usual.
_OTHER = ("JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS")
# So many programs are named.
_NAMED = 4


class Start(NamedTuple):
    """What a call compiled, and what its seconds went to.

    Attributes:
      programs: Number of programs.
      read: How many of them had been kept.
      program_s: Seconds until all were there, compiled or read.
      traced_s: Seconds of tracing.
      names: Seconds until a program was there, by the name of its function.
      libraries_s: Seconds of importing.
      device_s: Seconds until the device was there.
      whole_s: Seconds of the call.
      causes: Seconds of a training by cause, as in `times.jsonl`; nothing of others.
    """

    programs: int
    read: int
    program_s: float
    traced_s: float
    names: Mapping[str, float]
    libraries_s: float
    device_s: float
    whole_s: float
    causes: Mapping[str, float]

    @property
    def lines(self) -> Iterator[str]:
        """What is printed of it."""
        yield (
            f"{self.programs - self.read} programs compiled and {self.read} read "
            f"in {self.program_s:.1f} s, traced in {self.traced_s:.1f} s"
        )
        longest = sorted(self.names.items(), key=lambda item: -item[1])[:_NAMED]
        yield "longest: " + ", ".join(f"{name} {took:.1f} s" for name, took in longest)
        before = self.libraries_s + self.device_s
        parts = {"libraries": self.libraries_s, "device": self.device_s, **self.causes}
        said = ", ".join(f"{name} {took:.1f}" for name, took in parts.items() if took)
        yield f"seconds: {said}; whole {self.whole_s:.1f}"
        if self.causes:
            first = sum(self.causes[name] for name in ("start", "data", "compilation"))
            yield f"to the end of the first step: {before + first:.1f} s"


def start(
    words: Sequence[str], programs: pathlib.Path, workdir: pathlib.Path, flags: str
) -> Start:
    """Calls `dst-jax` once, and returns what it compiled.

    Args:
      words: Words of the command line.
      programs: Folder that keeps programs.
      workdir: What the word WORKDIR stands for.
      flags: What is added to XLA_FLAGS.
    """
    given = [str(workdir) if word == "WORKDIR" else word for word in words]
    kept = {name: v for name, v in os.environ.items() if name not in _OTHER}
    xla = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
    done = subprocess.run(
        [sys.executable, "-c", _CALL, *given],
        env={**kept, "XDG_CACHE_HOME": str(programs), "XLA_FLAGS": xla},
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise SystemExit(done.stdout)
    told = json.loads(done.stdout.splitlines()[-1].removeprefix("COUNTED "))
    lines = read_times(workdir / TIMES) if (workdir / TIMES).exists() else []
    return Start(**told, causes=lines[-1].seconds if lines else {})


def main(arguments: Sequence[str] | None = None) -> None:
    """Calls the command twice, once more for each set of flags, and prints all."""
    given = [*(sys.argv[1:] if arguments is None else arguments)]
    sets = [""]
    while given[:1] == ["--beside"] and given[1:]:
        sets.append(given[1])
        given = given[2:]
    if not given:
        raise SystemExit(__doc__)
    if given[0] in ("-h", "--help"):
        print(__doc__)
        return
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(len(sets)) as pool:
        folders = [pathlib.Path(name) / str(number) for number in range(len(sets))]
        for folder in folders:
            (folder / "cache").mkdir(parents=True)
        runs: dict[str, list[Start]] = {flags: [] for flags in sets}
        for call in ("first", "again"):
            works = [folder / call for folder in folders]
            caches = [folder / "cache" for folder in folders]
            found = pool.map(start, [given] * len(sets), caches, works, sets)
            for flags, run in zip(sets, found, strict=True):
                runs[flags].append(run)
                print(f"{call}{', ' * bool(flags)}{flags}:", flush=True)
                print(*(f"  {line}" for line in run.lines), sep="\n", flush=True)
    for flags, (first, again) in runs.items():
        share = again.program_s / max(first.program_s, 1e-9)
        print(f"again / first{', ' * bool(flags)}{flags}: {share:.1%}")


if __name__ == "__main__":
    main()
