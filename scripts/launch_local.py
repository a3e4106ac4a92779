"""Starts one run by several processes of this machine, as the hosts of a pod would.

    python scripts/launch_local.py --processes 4 -- dst-jax train demo_teacher \
        --workdir runs/pod

Each process gets --coordinator, --processes and --process-id behind the words after
"--". What it prints comes with its number in front. A signal is handed on to all; if
one process ends badly, the others have --grace seconds to end by themselves. The exit
code is that of the first process that ended badly, or 0.
"""

import argparse
import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence


def free_port() -> int:
    """Returns a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def joined(processes: int) -> list[list[str]]:
    """Returns the options that join the processes of one run, for each of them.

    Args:
      processes: How many.
    """
    address = f"127.0.0.1:{free_port()}"
    common = ["--coordinator", address, "--processes", str(processes)]
    return [[*common, "--process-id", str(number)] for number in range(processes)]


def started(words: Sequence[str], processes: int) -> list[subprocess.Popen[str]]:
    """Starts the processes of one run.

    Args:
      words: The command without the options that join the processes.
      processes: How many.
    """
    return [
        subprocess.Popen(
            [*words, *own],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # A terminal's Ctrl-C would come twice: by itself and handed on.
            start_new_session=True,
        )
        for own in joined(processes)
    ]


def wait(runs: Sequence[subprocess.Popen[str]], *, grace: float) -> int:
    """Waits for all processes, and returns the exit code of the launch.

    Args:
      runs: The processes.
      grace: Seconds that the others have when one has ended badly.
    """
    first_bad, since = 0, 0.0
    while None in (codes := [run.poll() for run in runs]):
        bad = [code for code in codes if code]
        if bad and not first_bad:
            first_bad, since = bad[0], time.monotonic()
        if first_bad and time.monotonic() - since > grace:
            for run in runs:
                run.kill()
        time.sleep(0.05)
    code = first_bad or next((code for code in codes if code), 0)
    return code if code >= 0 else 128 - code


def _show(number: int, run: subprocess.Popen[str], lock: threading.Lock) -> None:
    assert run.stdout is not None
    for line in run.stdout:
        with lock:
            print(f"{number}: {line.rstrip()}", flush=True)


def main() -> int:
    """Starts the processes, and shows what they print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--processes", type=int, required=True)
    parser.add_argument("--grace", type=float, default=120.0, metavar="SECONDS")
    parser.add_argument("words", nargs="+", metavar="-- COMMAND ...")
    args = parser.parse_args()
    if args.processes < 1:
        parser.error(f"--processes {args.processes}: must be 1 or more.")
    runs = started(args.words, args.processes)

    def hand_on(number: int, frame: object) -> None:
        del frame
        for run in runs:
            with contextlib.suppress(ProcessLookupError):
                run.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, hand_on)
    lock = threading.Lock()
    shown = [
        threading.Thread(target=_show, args=(i, run, lock), daemon=True)
        for i, run in enumerate(runs)
    ]
    for thread in shown:
        thread.start()
    code = wait(runs, grace=args.grace)
    for thread in shown:
        thread.join(timeout=5.0)
    return code


if __name__ == "__main__":
    sys.exit(main())
