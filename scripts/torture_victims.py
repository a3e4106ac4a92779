"""The commands that the torture kills, and how it compares what they leave."""

import json
import pathlib
from typing import Any

import attack_inputs
import numpy as np
import safetensors.numpy
from attack_inputs import Inputs
from attack_kills import VICTIMS, Place, Victim

from dst_jax.digests import file_sha256
from dst_jax.train import METRICS, TIMES, read_metrics, read_record, saved_steps

STEPS, VALIDATE_EVERY, SAVE_EVERY = 12, 3, 2
# A report at every step; batches that four processes can share.
_SHORT = (
    f"--data.batch 4 --optim.pairs_per_epoch {2 * STEPS} --optim.epochs 2 "
    f"--loop.log_every 1 --loop.validate_every {VALIDATE_EVERY} "
    f"--loop.checkpoint_every {SAVE_EVERY}"
).split()
# What a line says of time differs from run to run; digests stand for the times too.
_RATES = ("pairs_per_s", "data_wait_share", "data_wait_s")
_TIMED = ("seconds", "digest", "ledger")
# Below this a number counts as one of its size: a bias before a normalisation has no
# gradient but rounding.
_SMALL = 1e-3


def _train_words(made: Inputs, work: pathlib.Path) -> list[str]:
    return attack_inputs.train_words(made._replace(run=work / "run")) + _SHORT


def _distill_words(made: Inputs, work: pathlib.Path) -> list[str]:
    words = ["distill", str(made.config), "--teacher", str(made.tracker)]
    return [*words, "--workdir", str(work / "run"), *_SHORT]


def _search_words(made: Inputs, work: pathlib.Path) -> list[str]:
    return attack_inputs.search_words(made._replace(search=work / "search"))


def _pack_words(made: Inputs, work: pathlib.Path) -> list[str]:
    return attack_inputs.pack_words(made._replace(pack=work / "pack"))


def _begin_empty(made: Inputs, work: pathlib.Path) -> None:
    """Begins with nothing but the empty folder."""


def stream(work: pathlib.Path) -> list[dict[str, Any]]:
    """Returns what a training has reported, without what depends on time."""
    rows = read_metrics(work / "run" / METRICS)
    return [{n: v for n, v in row.items() if n not in _RATES} for row in rows]


def _trained(work: pathlib.Path) -> Any:
    """Returns digests of the bundles and of the whole last state, and the stream."""
    checkpoints = work / "run" / "checkpoints"
    steps = saved_steps(checkpoints)
    files = sorted(work.glob("run/bundles/*/*"))
    return {
        "bundles": {str(path.relative_to(work)): file_sha256(path) for path in files},
        "state": {n: read_record(checkpoints, n)["snapshot_sha256"] for n in steps},
        "stream": stream(work),
    }


def _searched(work: pathlib.Path) -> Any:
    found = {}
    for name in ("ledger.jsonl", "student.json", "search.json"):
        text = (work / "search" / name).read_text()
        lines = text.splitlines() if name.endswith("l") else [text]
        found[name] = [
            {n: v for n, v in json.loads(line).items() if n not in _TIMED}
            for line in lines
        ]
    return found


def _packed(work: pathlib.Path) -> Any:
    return {path.name: file_sha256(path) for path in sorted(work.glob("pack/*"))}


TORTURED = {
    "train": Victim(_train_words, _begin_empty, _trained),
    "compile": Victim(_train_words, _begin_empty, _trained, cold=True),
    "distill": Victim(_distill_words, _begin_empty, _trained),
    "search": Victim(_search_words, _begin_empty, _searched),
    "pack": Victim(_pack_words, _begin_empty, _packed),
    "evaluate": VICTIMS["evaluate"],
}


def distance(place: Place, clean: Place) -> dict[str, float]:
    """Returns how far two trainings lie apart.

    "weights" is the largest difference relative to the largest number of the same
    array, over all bundles; "losses" and "norms" are those of what was reported,
    relative to each number. The norms are those of gradients, in which large numbers
    cancel.

    Raises:
      ValueError: If they are not of the same structure.
    """
    apart = {"weights": _weights_apart(place.work, clean.work)}
    return apart | _streams_apart(stream(place.work), stream(clean.work))


def _weights_apart(one: pathlib.Path, two: pathlib.Path) -> float:
    found = 0.0
    files = [sorted(x.glob("run/bundles/*/weights.safetensors")) for x in (one, two)]
    for ours, theirs in zip(*files, strict=True):
        a, b = (safetensors.numpy.load_file(path) for path in (ours, theirs))
        if a.keys() != b.keys() or ours.parent.name != theirs.parent.name:
            raise ValueError(f"{ours} and {theirs} are of other networks")
        for name in a:
            scale = max(float(np.abs(b[name]).max()), _SMALL)
            found = max(found, float(np.abs(a[name] - b[name]).max()) / scale)
    return found


def _streams_apart(
    one: list[dict[str, Any]], two: list[dict[str, Any]]
) -> dict[str, float]:
    found = {"losses": 0.0, "norms": 0.0}
    for ours, theirs in zip(one, two, strict=True):
        if ours.keys() != theirs.keys() or ours["step"] != theirs["step"]:
            raise ValueError(f"step {theirs['step']} has other values")
        for name, value in theirs.items():
            kind = "norms" if name.startswith("gradient_norm") else "losses"
            apart = abs(ours[name] - value) / max(abs(value), _SMALL)
            found[kind] = max(found[kind], apart)
    return found


def died_in(place: Place, before: int) -> str:
    """Returns in what a training died, as its folder tells.

    Args:
      place: Where it ran.
      before: What `accounts` returned when it was started.
    """
    run = place.work / "run"
    if not (run / "config.json").exists():
        return "start"
    if any("tmp-" in path.name or "-tmp" in path.name for path in run.rglob("*")):
        return "saving"
    rows = read_metrics(run / METRICS) if (run / METRICS).exists() else []
    if rows and rows[-1]["step"] == STEPS:
        return "end"
    if accounts(place) == before:
        return "compilation"
    due = rows[-1]["step"] % VALIDATE_EVERY == 0 and "loss" in rows[-1]
    return "validation" if due else "steps"


def accounts(place: Place) -> int:
    """Returns how many lines `times.jsonl` has, from which none is removed."""
    path = place.work / "run" / TIMES
    return path.read_bytes().count(b"\n") if path.exists() else 0
