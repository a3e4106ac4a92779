"""Finds the versions of the software that makes a result."""

import importlib.metadata
import platform

from rich.console import Console

import dst_jax
from dst_jax.workflows.printing import say

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that results depend on.

    The version of a package whose metadata are missing or damaged is "unknown": a
    result that took days is worth more than this line of its card.
    """
    found = {name: _version(name) for name in _PACKAGES}
    return {
        "python": platform.python_version(),
        "dst-jax": dst_jax.__version__,
        **found,
    }


def print_versions(console: Console) -> None:
    """Prints them, and the platform."""
    found = versions()
    say(console, f"dst-jax {found.pop('dst-jax')}")
    for name, version in found.items():
        say(console, f"{name} {version}")
    say(console, f"platform {platform.platform()}")


def _version(name: str) -> str:
    try:
        return str(importlib.metadata.version(name))
    except Exception:
        # Metadata are files of other programs, in which anything may be wrong.
        return "unknown"
