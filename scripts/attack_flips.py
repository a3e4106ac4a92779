"""Flips single bits of what a run leaves, and looks at what the program makes of it."""

import pathlib
import random
import shutil
from collections.abc import Callable
from typing import Any, NamedTuple

import attack_inputs
import numpy as np
from attack_inputs import Inputs, Refused, forked, obey

from dst_jax.bundle import load_bundle
from dst_jax.data.packs.packed import open_pack, read_pack
from dst_jax.data.patches import ROLES
from dst_jax.errors import InputError


class Target(NamedTuple):
    """Something on disk, and how it is used.

    Attributes:
      files: Returns the files of which a bit may flip.
      use: Does what a user would do next, and returns all that comes out of it.
    """

    files: Callable[[Inputs], list[pathlib.Path]]
    use: Callable[[Inputs], Any]


def flip_bits(name: str, folder: pathlib.Path, seed: int, count: int) -> dict[str, Any]:
    """Flips `count` bits one after another, each in an otherwise whole copy.

    Args:
      name: Which of `TARGETS`.
      folder: Folder of the inputs, which is not changed.
      seed: Decides the bits.
      count: Number of flips.

    Returns:
      How many were "refused", "without effect", "believed" and a "crash"; "notes" has a
      line for each of the last two.
    """
    scratch = folder / f"flips-{name}"
    copy = _copied(folder, scratch)
    target, rng = TARGETS[name], random.Random(f"{seed} {name}")
    expected = forked(target.use, copy)
    counts: dict[str, Any] = {"refused": 0, "without effect": 0}
    counts |= {"believed": 0, "crash": 0, "notes": []}
    for _ in range(count):
        copy = _copied(folder, scratch)
        where = _flip(target.files(copy), rng)
        try:
            outcome, note = forked(_outcome, target, copy, expected)
        except RuntimeError as error:
            outcome, note = "crash", str(error)
        counts[outcome] += 1
        if note:
            counts["notes"].append(f"{name}, {where}: {outcome}: {note}")
    shutil.rmtree(scratch)
    return counts


def _outcome(target: Target, copy: Inputs, expected: Any) -> tuple[str, str]:
    try:
        found = target.use(copy)
    except Refused:
        return "refused", ""
    except InputError as error:
        one_line = "\n" not in str(error)
        return ("refused", "") if one_line else ("crash", f"many lines: {error}")
    except Exception as error:
        return "crash", f"{type(error).__name__}: {error}"
    if found == expected:
        return "without effect", ""
    return "believed", "another result"


def _copied(folder: pathlib.Path, scratch: pathlib.Path) -> Inputs:
    """Returns inputs in a fresh copy of the folder, data and configuration shared."""
    shutil.rmtree(scratch, ignore_errors=True)
    for name in ("run", "search", "pack"):
        shutil.copytree(folder / name, scratch / name)
    made = attack_inputs.inputs(folder)
    return attack_inputs.inputs(scratch)._replace(data=made.data, config=made.config)


def _flip(files: list[pathlib.Path], rng: random.Random) -> str:
    """Flips one bit; each file is as likely as any, each of its bits too."""
    path = rng.choice([path for path in files if path.stat().st_size])
    content = bytearray(path.read_bytes())
    place, bit = rng.randrange(len(content)), rng.randrange(8)
    content[place] ^= 1 << bit
    path.write_bytes(content)
    return f"{path.name} byte {place} bit {bit}"


def _files(folder: pathlib.Path, pattern: str = "**/*") -> list[pathlib.Path]:
    return sorted(path for path in folder.glob(pattern) if path.is_file())


def _newest_checkpoint(made: Inputs) -> list[pathlib.Path]:
    checkpoints = made.run / "checkpoints"
    newest = max(int(path.name) for path in checkpoints.iterdir())
    return _files(checkpoints / str(newest))


def _checkpoint_data(made: Inputs) -> list[pathlib.Path]:
    """The arrays; every second flip is in one of the other files."""
    files = _newest_checkpoint(made)
    data = [path for path in files if path.parent.name == "d"]
    others = [path for path in files if path not in data]
    return data * max(len(others) // len(data), 1) + others


def _contents(folder: pathlib.Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in _files(folder)}


def _finish_training(made: Inputs) -> Any:
    shutil.rmtree(made.run / "bundles")
    obey(attack_inputs.train_words(made))
    return _contents(made.run / "bundles")


def _finish_search(made: Inputs) -> Any:
    (made.search / "student.json").unlink()
    obey(attack_inputs.search_words(made))
    names = ("student.json", "search.json", "ledger.jsonl")
    return [(made.search / name).read_bytes() for name in names]


def _read_bundle(made: Inputs) -> Any:
    obey(["info", str(made.tracker)])
    bundle = load_bundle(made.tracker)
    rest = (bundle.spec, bundle.tracking, bundle.card)
    return bundle.weights_sha256, *map(repr, rest)


def _read_pack(made: Inputs) -> Any:
    obey(["data", "verify", f"packed:{made.pack}"])
    source = f"packed:{made.pack}"
    pack, (sequences, _) = open_pack(source), read_pack(source)
    patches = []
    for record in range(len(pack.records)):
        for role in ROLES:
            side = pack.serves.of(role).patch_px
            out = np.empty((side, side, 3), np.uint8)
            fill = pack.read(record, role, out=out)
            patches.append((fill.tobytes(), out.tobytes()))
    tracks = [
        (s.name, s.video, s.category, s.size, s.frames, s.boxes.tobytes())
        for s in sequences
    ]
    visible = [s.visible.tolist() for s in sequences]
    return patches, tracks, visible, pack.serves, pack.encoding


TARGETS = {
    "checkpoint": Target(_checkpoint_data, _finish_training),
    "bundle": Target(lambda made: _files(made.tracker), _read_bundle),
    "pack": Target(
        lambda made: [p for p in _files(made.pack) if p.suffix != ".npz"], _read_pack
    ),
    "index": Target(lambda made: _files(made.pack, "index.npz"), _read_pack),
    "ledger": Target(lambda made: [made.search / "ledger.jsonl"], _finish_search),
}
