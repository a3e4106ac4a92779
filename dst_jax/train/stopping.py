"""Ends a run by a signal, after the step that it came in."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


class Interrupted(KeyboardInterrupt):
    """Says that a signal stopped the run, and of which step a checkpoint stands.

    Attributes:
      exit_code: The code with which the process ends: 128 and the signal's number.
    """

    def __init__(self, message: str, *, number: int):
        super().__init__(message)
        self.exit_code = 128 + number


@contextlib.contextmanager
def stop_flag() -> Iterator[list[int]]:
    """Yields the numbers of SIGINT, SIGTERM and SIGHUP that have come, a growing list.

    A signal that is ignored, as `nohup` has SIGHUP, stays so. A second signal ends the
    run at once. Outside of the main thread none is served.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def ask(number: int, frame: Any) -> None:
        del frame
        if received:
            text = "stopped at once; the last checkpoint stands"
            raise Interrupted(text, number=number)
        received.append(number)

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    served = [s for s in signals if signal.getsignal(s) != signal.SIG_IGN]
    before = {s: signal.signal(s, ask) for s in served}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
