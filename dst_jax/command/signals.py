"""Signals that end a verb end it as Ctrl-C does, so that it cleans up."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Lets SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt within the block.

    So everything that the block has opened is closed, and temporary files are removed.
    Signals that the process was told to ignore, as `nohup` does, stay ignored. Outside
    of the main thread nothing changes.

    Yields:
      The numbers of the signals that have come, a list that grows.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        received.append(number)
        # A scheduler or a closing terminal may send several: the first one is obeyed,
        # and cleaning up is not cut short. A second Ctrl-C is meant.
        if number == signal.SIGINT or len(received) == 1:
            raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    mine = [n for n, old in before.items() if old not in (signal.SIG_IGN, None)]
    try:
        for number in mine:
            signal.signal(number, stop)
        yield received
    finally:
        for number in mine:
            signal.signal(number, before[number])
