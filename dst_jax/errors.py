"""The exception for what a user can mend, and how messages show names and counts."""

from typing import TypeVar

Error = TypeVar("Error", bound=BaseException)
_TOLD = "all processes of the run end with it"


class InputError(ValueError):
    """Bad input: a file, a field or a value that the user can put right.

    The message is one line that names the thing, its value and the mend. The
    command line prints it and exits with 2; any other exception is our own fault.

    Args:
      message: The line; what a terminal would obey or could not show is escaped.
    """

    def __init__(self, message: object):
        super().__init__(printable(message))


def printable(text: object) -> str:
    r"""Returns text as one line that every terminal shows and none obeys.

    File names are bytes: they may hold line breaks, escape codes and bytes that are no
    UTF-8. Each such character is written as Python writes it in a string; all others,
    spaces and accents among them, stay.

    Args:
      text: A path, a message or anything else with a `str`.

    Example:
      >>> print(printable("café 1\x1b[2J.mp4"))
      café 1\x1b[2J.mp4
    """
    return "".join(_shown(character) for character in str(text))


def counted(count: int, noun: str) -> str:
    """Returns a count with its noun, which gets an "s" unless the count is 1.

    Example:
      >>> counted(1, "fault"), counted(1200, "frame")
      ('1 fault', '1,200 frames')
    """
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def shortened(value: object) -> str:
    """Returns how Python writes a value, cut off where it is long.

    Args:
      value: Anything, such as what a field was given.

    Example:
      >>> shortened([1, "a"])
      "[1, 'a']"
    """
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        # Python writes no integer of over 4,300 digits and nothing very deep.
        return f"a {type(value).__name__} that is too long to show"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _shown(character: str) -> str:
    # So does Python hold a byte that is no UTF-8.
    if 0xDC80 <= ord(character) <= 0xDCFF:
        return f"\\x{ord(character) - 0xDC00:02x}"
    blank = character.isspace() and character not in _BREAKS
    return character if character.isprintable() or blank else repr(character)[1:-1]


_LONGEST = 100  # characters of a value in a message
# Python counts these as white space; a terminal ends the line or jumps.
_BREAKS = frozenset("\n\r\t\v\f\x1c\x1d\x1e\x1f\x85\u2028\u2029")


def told_to_all(error: Error) -> Error:
    """Returns the error, marked as one that ends every process of a run together."""
    error.add_note(_TOLD)
    return error


def is_told_to_all(error: BaseException) -> bool:
    """Returns whether every process of the run ends with this error or for it."""
    return _TOLD in getattr(error, "__notes__", ())
