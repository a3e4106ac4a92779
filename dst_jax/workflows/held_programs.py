"""Lets go of compiled programs before a process holds more than the system allows.

On a CPU each kernel of a program has memory maps of its own: a training step has one to
some thousand. Linux allows a process 65,530 (`vm.max_map_count`), and beyond them LLVM
ends it with "Cannot allocate memory". Where many trackers are run or trained one after
another their programs would add up, and JAX keeps all of them.
"""

import gc
import pathlib

import jax

_MAPS = pathlib.Path("/proc/self/maps")
_LIMIT = pathlib.Path("/proc/sys/vm/max_map_count")
# The rest is for what is compiled next, and for what cannot be let go of: jaxlib 0.12
# never frees a program that it was asked, in vain, to keep for the next process.
_SHARE = 0.3


def let_go_if_many() -> bool:
    """Lets go of all compiled programs if they take much of what a process may have.

    What is called again compiles again, so this is for the moment before programs that
    earlier ones do not help. Where the system tells no limit nothing is done.

    Returns:
      Whether they were many.
    """
    try:
        limit = int(_LIMIT.read_text())
        held = _MAPS.read_bytes().count(b"\n")
    except (OSError, ValueError):
        return False
    if held <= _SHARE * limit:
        return False
    jax.clear_caches()
    gc.collect()  # a step and what it closes over hold each other
    return True
