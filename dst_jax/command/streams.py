"""Standard output and error that outlive their readers and show every character."""

import contextlib
import io
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from dst_jax.errors import printable


class LastingStream:
    """A text stream that remembers its first failure instead of raising it.

    A full disk or a reader that went away must not end work whose result lies
    elsewhere. After the failure what is written goes nowhere.

    Attributes:
      error: The failure, or None.
    """

    def __init__(self, stream: Any):
        self._stream = stream
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """Writes text and returns its length."""
        with self._remembered():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Hands over what was written so far."""
        with self._remembered():
            self._stream.flush()

    @contextlib.contextmanager
    def _remembered(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.error = self.error or error
            # The interpreter flushes at its end what the buffer still holds.
            with contextlib.suppress(OSError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def lasting_streams() -> Iterator[Callable[[], OSError | None]]:
    """Replaces standard output and error within the block by streams that last.

    Characters that the encoding lacks are written as escapes. A stream that was closed
    before the process began goes nowhere.

    Yields:
      A function that flushes standard output and returns its failure, or None.
    """
    with contextlib.ExitStack() as stack:
        _keep_first_files_apart()
        out = LastingStream(_opened(sys.stdout, stack))
        err = LastingStream(_opened(sys.stderr, stack))
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))

        def lost() -> OSError | None:
            err.flush()
            out.flush()
            return out.error

        yield lost


@contextlib.contextmanager
def lasting_threads() -> Iterator[list[OSError]]:
    """Remembers what the system refuses to threads, of which Python prints each.

    Libraries have threads that write, such as the one of TensorBoard's curves.

    Yields:
      The errors, a list that grows.
    """
    errors: list[OSError] = []
    before = threading.excepthook

    def hook(ended: Any) -> None:
        if isinstance(ended.exc_value, OSError):
            errors.append(ended.exc_value)
        else:
            before(ended)

    threading.excepthook = hook
    try:
        yield errors
    finally:
        threading.excepthook = before


class _OneLine(logging.Handler):
    """Prints a warning of a library as one line."""

    def emit(self, record: logging.LogRecord) -> None:
        """Prints a record, unless it is Orbax's: it logs what it raises too."""
        if not record.name.startswith("absl"):
            line = f"note: {record.getMessage()}"
            print(printable(line), file=sys.stderr)


@contextlib.contextmanager
def short_logs() -> Iterator[None]:
    """Prints what libraries log within the block as lines, without tracebacks."""
    handler = _OneLine(logging.WARNING)
    logging.root.addHandler(handler)
    try:
        yield
    finally:
        logging.root.removeHandler(handler)


def _keep_first_files_apart() -> None:
    """Opens descriptors 0 to 2 where they are closed.

    The next file opened would get such a number, and libraries that print to it would
    write into that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _opened(stream: Any, stack: contextlib.ExitStack) -> Any:
    """Returns a text stream, or None, as one that takes every character.

    It does so until the stack is closed.
    """
    if stream is None:
        return stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
    if isinstance(stream, io.TextIOWrapper):
        stack.callback(stream.reconfigure, errors=stream.errors)
        stream.reconfigure(errors="backslashreplace")
    return stream
