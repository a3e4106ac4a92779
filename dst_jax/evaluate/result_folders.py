"""Finding the result files of a tracker: their layouts, repeats and times.

Kits lay out results in two ways. OTB's has `<sequence>.txt`, and times in
`times/<sequence>_time.txt` or beside it. GOT-10k's has a folder of each sequence with
`<sequence>_001.txt`, `_002.txt` of a tracker that ran several times, and
`<sequence>_time.txt`. VOT's kits have the same in a folder of the experiment, such as
`baseline`, with lines of their own.
"""

import collections
import dataclasses
import itertools
import os
import pathlib
import re
import unicodedata
from collections.abc import Iterable, Mapping

from dst_jax.data.readers.folders import subfolders
from dst_jax.errors import InputError
from dst_jax.evaluate.names import require_names
from dst_jax.files import user_path

# Experiments of a VOT workspace.
_VOT = ("baseline", "unsupervised", "realtime", "longterm")
# pytracking puts these before the names of some data sets' sequences.
_PREFIXES = ("uav_", "nfs_", "tpl_")


@dataclasses.dataclass(frozen=True)
class ResultFiles:
    """The result files of one tracker.

    Attributes:
      folder: Folder that holds them, whose name is the tracker's.
      files: Files of each sequence, one for each time that the tracker ran.
      others: Files that look like results, of no sequence of the data set.
      times: File of each sequence's seconds per frame, where there is one.
    """

    folder: pathlib.Path
    files: Mapping[str, tuple[pathlib.Path, ...]]
    others: tuple[pathlib.Path, ...] = ()
    times: Mapping[str, pathlib.Path] = dataclasses.field(default_factory=dict)

    @property
    def tracker(self) -> str:
        """Returns the name of the tracker."""
        folder = self.folder.resolve()
        inner = folder.name in _VOT and not any(folder.glob("*.txt"))
        return folder.parent.name if inner else folder.name


def find_results(
    folder: str | os.PathLike[str], names: Iterable[str], *, restarts: bool = False
) -> ResultFiles:
    """Finds the result files of every sequence.

    A sequence's file is `<sequence>.txt`, the suffix in any case, or, as GOT-10k lays
    it out, `<sequence>/<sequence>_001.txt` and further numbers. If the folder holds no
    file of a sequence but one of its folders does, or one of theirs, that one is taken.

    Args:
      folder: The folder as the user named it.
      names: Names of the sequences.
      restarts: Whether the files are of runs with restarts, as VOT's kits write them.

    Raises:
      InputError: If there is no such folder, a sequence has no file or several, or
        several folders hold results, or the layout is that of another kit; it names
        what is there.
    """
    root, keys = user_path(folder), {_key(name): name for name in names}
    if not root.is_dir():
        what = "is no folder" if root.exists() else "does not exist"
        mend = "name the folder that holds the files <sequence>.txt"
        if root.suffix.lower() in (".zip", ".tar", ".gz", ".tgz"):
            mend = "unpack it, and name the folder"
        raise InputError(f"results folder {folder} {what}; {mend}.")
    place = _place_of_results(root, keys)
    found = _result_files(place)
    _require_known_layout(place, found, keys, restarts)
    require_names(keys, found, where=str(place))
    files = {}
    for key, name in keys.items():
        files[name] = _runs(place, name, found.pop(key))
    times = _times(place, keys)
    others = sorted(path for several in found.values() for path in several)
    others = [path for path in others if path not in times.values()]
    return ResultFiles(place, files, tuple(others), times)


def _runs(
    place: pathlib.Path, name: str, several: list[pathlib.Path]
) -> tuple[pathlib.Path, ...]:
    """Returns the files of a sequence, of which only runs may be several."""
    if len(several) > 1 and not all(_is_run(path) for path in several):
        shown = " and ".join(str(path.relative_to(place)) for path in several[:2])
        raise InputError(
            f"{place}: sequence {name!r} has {len(several)} result files, such as "
            f"{shown}; keep one."
        )
    return tuple(several)


def _is_run(path: pathlib.Path) -> bool:
    return re.fullmatch(re.escape(path.parent.name) + r"_\d+", path.stem) is not None


def _require_known_layout(
    place: pathlib.Path,
    found: Mapping[str, list[pathlib.Path]],
    keys: Mapping[str, str],
    restarts: bool,
) -> None:
    """Raises an error that names the layout of another kit, or what is there."""
    if not restarts and place.name in _VOT and not any(place.glob("*.txt")):
        raise InputError(
            f"{place} has the layout of a VOT workspace, whose files hold restarts and "
            "regions; score it by --protocol vot2019 (or 2016, 2018), or give files "
            "with a line x,y,w,h per frame of a run without restarts."
        )
    binaries = itertools.chain(place.glob("*/*.bin"), place.glob("*/*/*.bin"))
    if not found and (binary := next(binaries, None)):
        raise InputError(
            f"{place} has binary files of vot-toolkit, such as {binary.name}; write "
            "text, with results_binary: false in its configuration."
        )
    for prefix in _PREFIXES:
        if keys and all(f"{prefix}{key}" in found for key in keys):
            raise InputError(
                f"{place} has the layout of pytracking, whose files are called "
                f"{prefix}<sequence>.txt here; rename them to <sequence>.txt."
            )
    if found:
        return
    if any(place.glob("*.mat")):
        raise InputError(
            f"{place} has the layout of OTB's kit in MATLAB, .mat files; write the "
            "boxes of each as a line x,y,w,h per frame to <sequence>.txt."
        )
    raise InputError(
        f"{place}: no result for any sequence; it holds {_contents(place)}. Name "
        "the folder that holds the files <sequence>.txt."
    )


def _times(place: pathlib.Path, keys: Mapping[str, str]) -> dict[str, pathlib.Path]:
    """Returns the files of times, by the names of their sequences."""
    found = {}
    for key, name in keys.items():
        file = f"{key}_time.txt"
        places = (place / key / file, place / "times" / file, place / file)
        path = next((path for path in places if path.is_file()), None)
        if path is not None:
            found[name] = path
    return found


def _key(name: str) -> str:
    # Some disks keep accents decomposed, whatever name was given.
    return unicodedata.normalize("NFC", name)


def _result_files(folder: pathlib.Path) -> dict[str, list[pathlib.Path]]:
    """Returns the files in a folder that could be results, by sequence."""
    found: dict[str, list[pathlib.Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() == ".txt" and path.is_file():
            found.setdefault(_key(path.stem), []).append(path)
    for inner in subfolders(folder):
        repetition = re.compile(re.escape(inner.name) + r"_\d+\.txt", re.IGNORECASE)
        for path in sorted(inner.iterdir()):
            if repetition.fullmatch(path.name) and path.is_file():
                found.setdefault(_key(inner.name), []).append(path)
    return found


def _place_of_results(root: pathlib.Path, keys: Iterable[str]) -> pathlib.Path:
    """Returns the folder at or below `root`, two levels at most, that has results."""
    wanted, level = set(keys), [root]
    for _ in range(3):
        holding = [folder for folder in level if wanted & _result_files(folder).keys()]
        if len(holding) == 1:
            return holding[0]
        if holding:
            shown = ", ".join(str(path.relative_to(root)) for path in holding[:5])
            more = f" and {len(holding) - 5} more" if len(holding) > 5 else ""
            raise InputError(
                f"results folder {root} holds the folders {shown}{more}, each with "
                f"results; name one of them, such as {holding[0]}."
            )
        level = [inner for folder in level for inner in subfolders(folder)]
    return root


def _contents(folder: pathlib.Path) -> str:
    """Returns in a few words what a folder holds."""
    kinds = collections.Counter(
        "folder" if path.is_dir() else f"{path.suffix} file".strip()
        for path in folder.iterdir()
    )
    shown = [f"{n} {kind}{'s' * (n > 1)}" for kind, n in kinds.most_common(3)]
    return " and ".join(shown) or "nothing"
