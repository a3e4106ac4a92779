"""Reads durations as schedulers' users write them: 90s, 170m, 2h, 1h30m."""

import re
import time
import typing

from dst_jax.errors import InputError

if typing.TYPE_CHECKING:
    from dst_jax.train import Deadline

_FORM = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.ASCII)
MOST_HOURS = 24 * 366


def parse_duration(text: str, option: str) -> float:
    """Returns the seconds that a text such as "1h30m" means.

    Args:
      text: Hours, minutes and seconds, each with its letter and in this order.
      option: Name of the option, for the error.

    Raises:
      InputError: If it is no such text, is nothing, or longer than a year.

    Example:
      >>> parse_duration("1h30m", "--time-limit")
      5400.0
    """
    found = _FORM.fullmatch(text.strip())
    parts = [len(part or "0") > 9 for part in found.groups()] if found else [True]
    if found is None or any(parts):
        raise InputError(
            f"{option} {text[:20]}: give a time as 90s, 170m, 2h or 1h30m."
        )
    hours, minutes, seconds = (int(part or "0") for part in found.groups())
    total = 3600.0 * hours + 60.0 * minutes + seconds
    if not 0.0 < total <= 3600.0 * MOST_HOURS:
        raise InputError(
            f"{option} {text}: must be above 0 and at most {MOST_HOURS}h, as 170m."
        )
    return total


def deadline_of(time_limit: str | None) -> "Deadline | None":
    """Returns the time by which a verb must have ended, counted from now.

    Args:
      time_limit: What --time-limit says, or None.

    Raises:
      InputError: If it is no duration.
    """
    if time_limit is None:
        return None
    began, limit = time.monotonic(), parse_duration(time_limit, "--time-limit")
    # This import takes seconds, which count.
    from dst_jax.train import Deadline

    return Deadline(limit - (time.monotonic() - began))
