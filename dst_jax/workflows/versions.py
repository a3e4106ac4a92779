"""Finds the versions of the software that makes a result."""

import importlib.metadata
import platform

import dst_jax

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


def _version(name: str) -> str:
    try:
        return str(importlib.metadata.version(name))
    except Exception:
        # Metadata are files of other programs, in which anything may be wrong.
        return "unknown"
