"""Signals that end a verb end it as Ctrl-C does, so that it cleans up."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_AGAIN_S = 0.02
# Code in which an exception would be dropped or end the process without a word: that
# of JAX which the garbage collector calls, and modules of C++ that begin.
_CALLBACK, _IMPORTING = "_xla_gc_callback", "<frozen importlib"


class _Stop(KeyboardInterrupt):
    """The interruption that a signal raises."""


class _Stopping:
    """Raises an interruption for the first signal, as soon as it can be heard.

    Attributes:
      received: Numbers of the signals that have come.
    """

    def __init__(self):
        self.received: list[int] = []
        self._due = False

    def obey(self, number: int, frame: FrameType | None) -> None:
        """Handles a signal, or one that is sent again."""
        if not self._due:
            self.received.append(number)
            # A scheduler or a closing terminal may send several: the first one is
            # obeyed, and cleaning up is not cut short. A second Ctrl-C is meant.
            if len(self.received) > 1 and number != signal.SIGINT:
                return
        self._due = _is_deaf(frame)
        if self._due:
            self._send_again()
        else:
            raise _Stop

    def notice(self, dropped: Any) -> None:
        """Stands for `sys.unraisablehook`: an interruption that was dropped is due."""
        if isinstance(dropped.exc_value, _Stop):
            self._due = True
            self._send_again()
        else:
            sys.__unraisablehook__(dropped)

    def _send_again(self) -> None:
        words = os.getpid(), self.received[0]
        again = threading.Timer(_AGAIN_S, os.kill, words)
        again.daemon = True
        again.start()


@contextlib.contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Lets SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt within the block.

    So everything that the block has opened is closed, and temporary files are removed.
    Signals that the process was told to ignore, as `nohup` does, stay ignored. Outside
    of the main thread nothing changes.

    Yields:
      The numbers of the signals that have come, a list that grows.
    """
    stopping = _Stopping()
    if threading.current_thread() is not threading.main_thread():
        yield stopping.received
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    mine = [n for n, old in before.items() if old not in (signal.SIG_IGN, None)]
    hook = sys.unraisablehook
    try:
        sys.unraisablehook = stopping.notice
        for number in mine:
            signal.signal(number, stopping.obey)
        yield stopping.received
    finally:
        for number in mine:
            signal.signal(number, before[number])
        # One that a library has put around it still has a use: its threads live on.
        if sys.unraisablehook == stopping.notice:
            sys.unraisablehook = hook


def _is_deaf(frame: FrameType | None) -> bool:
    """Returns whether an exception at this place would not reach the verb."""
    while frame is not None:
        code = frame.f_code
        if code.co_name == _CALLBACK or code.co_filename.startswith(_IMPORTING):
            return True
        frame = frame.f_back
    return False
