"""What is settled once per process, before a verb computes: JAX and its programs."""

import contextlib
import math
import os
import pathlib
import platform
import stat
import sys
import warnings
from typing import Any

from dst_jax.digests import bytes_sha256
from dst_jax.errors import InputError
from dst_jax.files import user_path

# A tracker's programs take 0.1 MB, a training step some MB: these are hundreds of runs.
_CACHE_BYTES = 2 * 2**30
# Programs that compile in less are not worth a file.
_WORTH_KEEPING_SECONDS = 0.2
_SHORTEST = "jax_persistent_cache_min_compile_time_secs"


def silence_decoders() -> None:
    """Keeps FFmpeg and OpenCV from writing beside our own lines, unless asked to.

    It must come before OpenCV is imported.
    """
    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


def start_jax() -> None:
    """Prepares JAX for a verb that computes.

    Compiled programs are kept between calls, see `cache_folder`. Numbers are float32
    whatever JAX_ENABLE_X64 says: the weights are, and so are all published scores.

    Raises:
      InputError: If JAX refuses its settings, or has no device for them.
    """
    try:
        import jax

        jax.config.update("jax_enable_x64", False)
        _keep_programs(jax.config)
        # JAX warns of each program that it cannot keep.
        warnings.filterwarnings("ignore", "Error writing persistent compilation cache")
    except ValueError as error:
        raise InputError(f"JAX refuses a setting ({error}); correct it.") from None
    try:
        jax.devices()
    # Which error it is depends on the plugin; an assertion is among them.
    except Exception as error:
        reason = str(error).partition("\n")[0].partition(" (set JAX_")[0]
        asked = os.environ.get("JAX_PLATFORMS", "")
        raise InputError(
            f"JAX_PLATFORMS={asked}: JAX finds no such device "
            f"({reason or 'none is there'}); install JAX for it, or set "
            "JAX_PLATFORMS=cpu."
        ) from None
    _keep_none_in_vain(jax.config)


def cache_folder() -> pathlib.Path | None:
    """Returns the folder that keeps compiled programs; None if there can be none.

    It is `dst-jax/programs-CPU` in XDG_CACHE_HOME, or in `~/Library/Caches` on macOS
    and `~/.cache` elsewhere, where CPU is a digest of what this machine's processor
    can do: programs are machine code, and a home may be shared by many machines. It is
    made if it is missing, for this user alone, because what JAX reads there is run.
    """
    given = os.environ.get("XDG_CACHE_HOME", "")
    usual = "~/Library/Caches" if sys.platform == "darwin" else "~/.cache"
    root = user_path(given if os.path.isabs(given) else usual)
    folder = root / "dst-jax" / f"programs-{_processor()}"
    if not root.parent.is_dir():
        return None  # a home that is named and not there is not ours to make
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError:
        return None
    shared = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    ours = status.st_uid == os.getuid() and not shared
    usable = folder.is_absolute() and os.access(folder, os.R_OK | os.W_OK | os.X_OK)
    return folder if ours and usable else None


def _processor() -> str:
    """Returns a short digest of the instructions that this machine knows."""
    known = f"{platform.machine()} {platform.processor()}"
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    # They are called flags on x86 and features on ARM, and are alike for all cores.
    flags = [line for line in lines if line.lower().startswith(("flags", "features"))]
    return bytes_sha256("\n".join([known, *flags[:1]]).encode())[:8]


def _keep_programs(config: Any) -> None:
    """Lets JAX keep compiled programs; its own variables go before ours."""
    chosen = config.jax_compilation_cache_dir is not None
    if chosen or "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    if not config.jax_enable_compilation_cache:
        return
    if (folder := cache_folder()) is None:
        return
    _sweep_programs(folder)
    config.update("jax_compilation_cache_dir", str(folder))
    settings = {
        "jax_compilation_cache_max_size": _CACHE_BYTES,
        _SHORTEST: _WORTH_KEEPING_SECONDS,
    }
    for name, value in settings.items():
        if name.upper() not in os.environ:
            config.update(name, value)


def _keep_none_in_vain(config: Any) -> None:
    """Lets JAX keep no program where the kernels are oneDNN's, unless told to.

    jaxlib 0.12 cannot write programs with them, and never frees one that it tried to
    write: of a training a thousand memory maps would stay. What compiles for long has
    such kernels.
    """
    from dst_jax.ops.kernels import chosen_kernels

    if _SHORTEST.upper() in os.environ or chosen_kernels().kind != "onednn":
        return
    config.update(_SHORTEST, math.inf)


def _sweep_programs(folder: pathlib.Path) -> None:
    """Removes programs that a kill or a full disk cut short.

    JAX writes `KEY-cache` and then `KEY-atime`. It neither replaces the first without
    the second nor stores anything else as long as one is there.
    """
    import filelock

    # It is JAX's own lock: while we have it nobody is between the two files.
    with (
        contextlib.suppress(OSError, filelock.Timeout),
        filelock.FileLock(folder / ".lockfile", timeout=1.0),
    ):
        names = os.listdir(folder)
        programs = {n.removesuffix("-cache") for n in names if n.endswith("-cache")}
        dates = {n.removesuffix("-atime") for n in names if n.endswith("-atime")}
        for key in programs ^ dates:
            for kind in ("cache", "atime"):
                (folder / f"{key}-{kind}").unlink(missing_ok=True)
