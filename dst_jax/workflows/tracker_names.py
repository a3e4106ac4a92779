"""The names of trackers that a command line gives as folders of bundles."""

import collections
import os
import pathlib
from collections.abc import Iterator, Sequence

from dst_jax.bundle import is_bundle
from dst_jax.errors import InputError, shortened
from dst_jax.files import user_path


def named_bundles(
    given: Sequence[str | os.PathLike[str]],
) -> dict[str, pathlib.Path]:
    """Returns the folders of bundles by the names of their trackers.

    A tracker is called after its folder. Where folders of different places have one
    name, as much of their paths as tells them apart stands before it: "a/dull" and
    "b/dull".

    Args:
      given: Folders, at least one, each of a bundle or of several bundles, or
        "NAME=FOLDER", which names the tracker; those of several bundles are then called
        NAME/FOLDER.

    Raises:
      InputError: If there is none, a bundle is given twice, two trackers have one name,
        or a name cannot be that of a folder.
    """
    places = [place for one in given for place in _places(os.fspath(one))]
    if not places:
        raise InputError("no tracker to evaluate; give the folder of a bundle.")
    for path, count in collections.Counter(p.resolve() for _, p in places).items():
        if count > 1:
            raise InputError(f"--tracker {path}: is given {count} times; give it once.")
    unnamed = [path.resolve() for name, path in places if name is None]
    names = [name or _told_apart(path.resolve(), unnamed) for name, path in places]
    for name, count in collections.Counter(names).items():
        if count > 1:
            raise InputError(
                f"--tracker: {count} trackers are called {shortened(name)}; give them "
                "names of their own, NAME=BUNDLE."
            )
    return {name: path for name, (_, path) in zip(names, places, strict=True)}


def _places(given: str) -> Iterator[tuple[str | None, pathlib.Path]]:
    """Yields name, or None, and folder of each bundle that an argument gives."""
    name, place = _split(given)
    path = user_path(place)
    inside = [] if is_bundle(path) else _bundles_in(path)
    for bundle in inside:
        yield name and f"{name}/{bundle.name}", bundle
    if not inside:  # whoever loads it says what is wrong with it
        yield name, path


def _split(given: str) -> tuple[str | None, str]:
    """Returns the name, if there is one, and the folder."""
    name, equals, place = given.partition("=")
    # The "=" of a path such as runs/rate=0.1 divides nothing.
    if not equals or "/" in name or os.path.lexists(user_path(given)):
        return None, given
    if name.strip() in ("", ".", "..") or not place:
        raise InputError(
            f"--tracker {shortened(given)}: give NAME=BUNDLE with a plain name."
        )
    return name, place


def _bundles_in(folder: pathlib.Path) -> list[pathlib.Path]:
    if not folder.is_dir():
        return []
    inside = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(path for path in inside if is_bundle(path))


def _told_apart(path: pathlib.Path, others: Sequence[pathlib.Path]) -> str:
    """Returns the shortest end of a path that no other path has."""
    rivals = [other for other in others if other != path]
    parts = path.parts
    for length in range(1, len(parts)):
        end = parts[-length:]
        if all(rival.parts[-length:] != end for rival in rivals):
            return "/".join(end)
    return str(path)
