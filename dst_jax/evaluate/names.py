"""Names of sequences that have no result, and the nearest spelling that does."""

import difflib
from collections.abc import Iterable

from dst_jax.errors import InputError

# A data set has thousands of sequences, and to find the nearest spelling takes time.
_MOST_NAMED = 10


def require_names(wanted: Iterable[str], found: Iterable[str], *, where: str) -> None:
    """Raises an error that lists the `wanted` names that `found` lacks, if any.

    For a name that is merely spelled otherwise (Human4-2, Human4_2) the nearest one is
    suggested.

    Args:
      wanted: Names that must be there.
      found: Names that are there.
      where: Place in which they were looked for, for the message.

    Raises:
      InputError: If a name is missing.
    """
    wanted, found = dict.fromkeys(wanted), dict.fromkeys(found)
    missing = [name for name in wanted if name not in found]
    if not missing:
        return
    spare = {name.lower(): name for name in found if name not in wanted}
    hints = []
    for name in missing[:_MOST_NAMED]:
        near = difflib.get_close_matches(name.lower(), spare, n=1, cutoff=0.75)
        hints.append(f"{name} (did you mean {spare[near[0]]}?)" if near else name)
    others = len(missing) - len(hints)
    more = f" and {others} more" if others else ""
    noun = "sequence" if len(missing) == 1 else f"{len(missing)} sequences"
    raise InputError(
        f"{where}: no result for {noun} {', '.join(hints)}{more}; add or rename the "
        "file <sequence>.txt."
    )
