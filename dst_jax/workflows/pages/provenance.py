"""Tells what a page was made of: commit, versions, device, data."""

import pathlib
import subprocess
from collections.abc import Iterable, Sequence

import jax

import dst_jax
from dst_jax.data import sequence as data
from dst_jax.errors import counted
from dst_jax.workflows.training_data import data_hash
from dst_jax.workflows.versions import versions

_DIGITS = 12  # of a digest that is shown
_SECONDS = 5.0  # that git may take


def program() -> dict[str, str]:
    """Returns the program's version, its commit, and those of what it computes with."""
    found = versions()
    own = f"dst-jax {found.pop('dst-jax')}"
    return {
        "program": f"{own}, commit {commit()}",
        "versions": ", ".join(f"{name} {version}" for name, version in found.items()),
    }


def device(kernels: Iterable[str]) -> dict[str, str]:
    """Returns what the trackers ran on.

    Args:
      kernels: Libraries that computed them.
    """
    devices = jax.devices()
    what = f"{len(devices)} x {devices[0].device_kind}"
    return {"device": f"{what}, kernels {', '.join(sorted(kernels))}"}


def data_facts(dataset: str, sequences: Sequence[data.Sequence]) -> str:
    """Returns how many sequences and frames a data set has, and a hash of its boxes.

    Args:
      dataset: The data set as the user named it.
      sequences: Its sequences.
    """
    frames = sum(map(len, sequences))
    digest = data_hash(tuple(sequences))[:_DIGITS]
    of = f"{counted(len(sequences), 'sequence')}, {counted(frames, 'frame')}"
    return f"{dataset}: {of}, SHA-256 of its boxes {digest}"


def commit() -> str:
    """Returns the commit of the program's source, "unknown" where it is none.

    "+" stands behind it if files that git knows were changed since.
    """
    folder = pathlib.Path(dst_jax.__file__).parent
    # An installed package may lie within a repository that does not hold it.
    known = _git(folder, "ls-files", "--error-unmatch", "__init__.py")
    found = _git(folder, "rev-parse", "HEAD")
    if not known or not found:
        return "unknown"
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no", ".")
    return found[:_DIGITS] + ("+" if changed else "")


def _git(folder: pathlib.Path, *words: str) -> str:
    """Returns what git prints, "" if it fails or is not there."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
