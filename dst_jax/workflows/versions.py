"""Finds the versions of the software that makes a result."""

import importlib.metadata
import platform

_PACKAGES = ("dst-jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that results depend on."""
    return {"python": platform.python_version(), **{n: _version(n) for n in _PACKAGES}}


def _version(package: str) -> str:
    # A copy of the source that is not installed has no metadata and works all the same.
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
