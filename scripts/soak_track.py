"""Streams many frames through a session and through `dst-jax track --video -`.

Run:  python scripts/soak_track.py [--frames 200000]

Prints the resident memory of the process that tracks, at ten moments of each, and the
largest over that after a tenth. Ends with 1 if it grew by more than 5 %. The network
has one layer and frames are small: what is measured is what each frame leaves behind.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

import jax
import numpy as np

from dst_jax.arch import Chain, ConvSpec, CorrelationHeadSpec, InputSpec, TrackerSpec
from dst_jax.bundle import Bundle, save_bundle
from dst_jax.models import init_variables
from dst_jax.track import Session, SiamFCTracking

SPEC = TrackerSpec(
    Chain((ConvSpec(8, 7, stride=4, batch_norm=False, activation="none"),)),
    CorrelationHeadSpec(),
    InputSpec(template_px=39, search_px=79, train_search_px=79),
)
HEIGHT, WIDTH, BOX = 64, 80, (30, 22, 20, 20)
MOST_GROWTH = 1.05


def frames(count: int) -> Iterator[np.ndarray]:
    """Yields grey frames [h, w] whose texture moves to and fro."""
    texture = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH), np.uint8)
    shifted = [np.roll(texture, shift, axis=1) for shift in range(8)]
    for number in range(count):
        yield shifted[abs(number % 14 - 7)]


def resident_mb(process: int | str) -> float:
    """Returns the resident memory of a process, by its number or "self"."""
    pages = pathlib.Path(f"/proc/{process}/statm").read_text().split()[1]
    return int(pages) * 4096 / 1e6


def stream(
    name: str, count: int, take: Callable[[np.ndarray], None], process: int | str
) -> float:
    """Hands over frames and prints memory; returns its growth as a factor."""
    began, seen = time.monotonic(), []
    for number, frame in enumerate(frames(count), start=1):
        take(frame)
        if number % (count // 10) == 0:
            seen.append(resident_mb(process))
            rate = number / (time.monotonic() - began)
            print(
                f"{name}: {number:,} frames, {seen[-1]:.1f} MB, {rate:.0f}/s",
                flush=True,
            )
    print(f"{name}: {max(seen) / seen[0]:.3f} of the memory after a tenth")
    return max(seen) / seen[0]


def through_session(bundle: Bundle, count: int) -> float:
    """Returns the growth of this process with a session."""
    session = Session(bundle)
    first = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    session.init(first, BOX)
    return stream("session", count, lambda grey: _update(session, grey), process="self")


def through_command(folder: pathlib.Path, count: int) -> float:
    """Returns the growth of `dst-jax track` behind a pipe."""
    out = folder / "boxes.csv"
    command = [sys.executable, "-m", "dst_jax.command.main", "track", "--video", "-"]
    options = ["--tracker", folder / "bundle", "--out", out, "--box", "30,22,20,20"]
    with subprocess.Popen([*command, *options], stdin=subprocess.PIPE) as process:
        pipe = process.stdin
        assert pipe is not None
        pipe.write(b"YUV4MPEG2 W%d H%d F25:1 Ip Cmono\n" % (WIDTH, HEIGHT))

        def take(grey: np.ndarray) -> None:
            pipe.write(b"FRAME\n" + grey.tobytes())

        growth = stream("track --video -", count, take, process=process.pid)
        pipe.close()
    lines = out.read_text().count("\n") - 1
    print(f"track --video -: {lines:,} lines, exit code {process.returncode}")
    return growth if lines == count and not process.returncode else np.inf


def main() -> int:
    """Runs both; returns 1 if one has grown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=200_000)
    count = parser.parse_args().frames
    fast = SiamFCTracking(scale_count=1, response_upsampling=2)
    bundle = Bundle(SPEC, init_variables(jax.random.key(0), SPEC), fast, {})
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        save_bundle(bundle, folder / "bundle")
        grown = through_command(folder, count), through_session(bundle, count)
    return int(max(grown) > MOST_GROWTH)


def _update(session: Session, grey: np.ndarray) -> None:
    session.update(np.repeat(grey[..., None], 3, axis=2))


if __name__ == "__main__":
    sys.exit(main())
