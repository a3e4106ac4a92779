"""Distilled Siamese trackers: compress a large visual tracker into small, fast ones."""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0.dev0"

# Where the names live that a tracker's user needs; they bring JAX along, so they are
# loaded when they are asked for.
_HOMES = {"load": "dst_jax.bundle", "Session": "dst_jax.track.session"}

if TYPE_CHECKING:
    from dst_jax.bundle import load as load
    from dst_jax.track.session import Session as Session
else:

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
