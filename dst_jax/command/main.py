"""`dst-jax <verb>` runs a verb; whatever ends it becomes one line and an exit code.

Nothing but the standard library is loaded before errors and signals are caught.
"""

import errno
import os
import signal
import sys
from collections.abc import Sequence

from dst_jax.command.signals import stop_signals
from dst_jax.command.streams import lasting_streams, lasting_threads, short_logs
from dst_jax.errors import InputError, printable

# What a user can do about an error of the system.
_ELSEWHERE = "; free some space or name another place"
_RIGHTS = "; mend its rights or name another place"
_MENDS = {
    errno.ENOSPC: _ELSEWHERE,
    errno.EDQUOT: _ELSEWHERE,
    errno.EFBIG: _ELSEWHERE,
    errno.EROFS: "; name another place",
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EIO: "; the disk or its connection failed",
    errno.ESTALE: "; the disk or its connection failed",
    errno.EMFILE: "; raise the limit, see `ulimit -n`",
    errno.ENFILE: "; close other programs",
    errno.ENOMEM: "; close other programs or take a smaller input",
    errno.EAGAIN: "; close other programs",
}
# So say libraries that write by themselves, as text within errors of their own.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
# How JAX says that a device has no memory left.
_FULL_DEVICE = "RESOURCE_EXHAUSTED: Out of memory"
_LONGEST = 2000  # characters of a line
# These verbs continue what an earlier call began.
_GO_ON = ("demo", "train", "distill", "search", "ablate", "pack")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb and returns the exit code.

    Args:
      arguments: Words of the command line; None for those of the process.

    Returns:
      0 for success, 2 for bad input and for output that could not be written, 141 if
      the reader of the output went away, 128 and the signal's number if one ended the
      verb: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP.
    """
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    with lasting_streams() as lost, lasting_threads() as failed, short_logs():
        with stop_signals() as received:
            code, line = _outcome(words, received)
        if failed and not code:
            code, line = 2, _line(failed[0], words[0]) or f"{words[0]}: {failed[0]}."
        if line:
            print(f"dst-jax: {_short(line)}", file=sys.stderr)
        error = lost()
        if code and arguments is None:
            # Threads may still compute: the interpreter's own end would wait for them
            # or crash beneath them, and libraries would try again to write.
            os._exit(code)
        if error is None or code:
            return code
        if error.errno == errno.EPIPE:
            return 128 + signal.SIGPIPE
        print(f"dst-jax: standard output: {_reason(error)}.", file=sys.stderr)
        return 2


def _outcome(words: list[str], received: list[int]) -> tuple[int, str]:
    """Returns the exit code of a command line and its last line, or ""."""
    try:
        from dst_jax.command.dispatch import run_verb

        run_verb(words)
    except SystemExit as stop:
        return (stop.code if isinstance(stop.code, int) else 0), ""
    except BaseException as error:
        # An interrupted library may raise an error of its own.
        if received or isinstance(error, KeyboardInterrupt):
            number = received[0] if received else signal.SIGINT
            said = str(error) if isinstance(error, KeyboardInterrupt) else ""
            hint = "; run again to go on" if {*words[:2]} & {*_GO_ON} else ""
            code = getattr(error, "exit_code", 128 + number)
            return code, printable(said or "interrupted") + hint
        line = _line(error, words[0])
        if line is None:
            raise
        return 2, line
    return 0, ""


def _line(error: BaseException, verb: str) -> str | None:
    """Returns the line for an error that a user can mend, or None for our own fault."""
    match error:
        case InputError():
            return str(error)
        case OSError() if isinstance(error.filename, str | bytes):
            name = os.fsdecode(error.filename)
            return printable(f"{name}: {_reason(error)}.")
        case OSError() if error.errno in _MENDS:
            return printable(f"{verb}: {_reason(error)}.")
        case MemoryError():
            said = f" ({error})" if str(error) else ""
            return printable(
                f"{verb}: not enough memory{said}; close other programs or take a "
                "smaller input."
            )
    text = " ".join(str(error).split())
    if text.startswith(_FULL_DEVICE):
        where = f"not enough memory on the device ({_short(text, 200)})"
        return printable(f"{verb}: {where}; take smaller batches or crops.")
    for number in _DISK:
        if os.strerror(number) in text:
            reason = f"{os.strerror(number)}{_MENDS[number]}"
            return printable(f"{verb}: {reason} ({_short(text, 200)}).")
    return None


def _reason(error: OSError) -> str:
    return f"{error.strerror or error}{_MENDS.get(error.errno or 0, '')}"


def _short(text: str, longest: int = _LONGEST) -> str:
    """Returns a text without its middle, if it is longer than a reader can use."""
    if len(text) <= longest:
        return text
    return f"{text[: longest // 2]} ... {text[-longest // 2 :]}"


if __name__ == "__main__":
    sys.exit(main())
