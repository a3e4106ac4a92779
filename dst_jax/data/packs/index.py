"""The index of a pack, `index.npz`: its tracks, and a checksum of every record."""

import collections.abc
import io
import math
import pathlib
import zipfile
from collections.abc import Mapping

import numpy as np

from dst_jax.data.packs.card import IndexFile
from dst_jax.data.sequence import Sequence
from dst_jax.digests import bytes_sha256
from dst_jax.errors import InputError, printable
from dst_jax.files import write_bytes

# Kind of the items of each array, and the lengths of its axes after the first. Arrays
# have a line per track, per frame or per record.
_TRACKS = {
    "track": ("U", ()),
    "video": ("U", ()),
    "category": ("U", ()),
    "source": ("U", ()),
    "length": ("<i8", ()),
    "size": ("<i4", (2,)),
}
_FRAMES = {"box": ("<f4", (4,)), "visible": ("|b1", ())}
_RECORDS = {"crc32": ("<u4", ())}
_ARRAYS = {**_TRACKS, **_FRAMES, **_RECORDS}


def index_of(
    sequences: collections.abc.Sequence[Sequence], checksums: np.ndarray
) -> dict[str, np.ndarray]:
    """Returns the arrays of the index.

    Args:
      sequences: All tracks, in the order of their records.
      checksums: CRC-32 of each record, uint32 [records].
    """
    text = {
        "track": [printable(s.name) for s in sequences],
        "video": [printable(s.video) for s in sequences],
        "category": [s.category for s in sequences],
        "source": [printable(s.source) for s in sequences],
    }
    return {
        **{name: np.array(values, np.str_) for name, values in text.items()},
        "length": np.array([len(s) for s in sequences], np.int64),
        "size": np.array([s.size or (0, 0) for s in sequences], np.int32),
        "box": np.concatenate([s.boxes for s in sequences]).astype(np.float32),
        "visible": np.concatenate([s.visible for s in sequences]),
        "crc32": checksums.astype(np.uint32),
    }


def write_index(path: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays as `np.load` reads them; equal arrays make equal files."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            # Without a time of its own an entry gets the year 1980.
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w") as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)
    write_bytes(path, content.getvalue())


def read_index(path: pathlib.Path, listed: IndexFile) -> dict[str, np.ndarray]:
    """Reads the index and checks it; the arrays are read-only.

    Time and memory are bounded by the size of the file: nothing in it is compressed.

    Args:
      path: The file.
      listed: Size and digest that it must have.

    Raises:
      InputError: If the file is damaged or is that of another pack.
    """
    try:
        if path.stat().st_size != listed.size:
            raise ValueError(f"{path.stat().st_size} bytes of {listed.size}")
        content = path.read_bytes()
        if bytes_sha256(content) != listed.sha256:
            raise ValueError(f"not the content that {path.parent.name} was made with")
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            arrays = {name: _array(archive, name, len(content)) for name in _ARRAYS}
        _check_lengths(arrays)
    except Exception as error:  # zipfile and NumPy raise of every kind
        raise damaged(path, error) from None
    return arrays


def damaged(path: pathlib.Path, error: Exception) -> InputError:
    """Returns the error for an index that does not hold what it must."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return InputError(
        f"{path} is damaged ({reason}); restore the file, or remove it and pack again "
        "as before."
    )


def _array(archive: zipfile.ZipFile, name: str, limit: int) -> np.ndarray:
    entry = archive.getinfo(f"{name}.npy")
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > limit:
        raise ValueError(f"{name} is compressed")
    stream = io.BytesIO(archive.read(entry))
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError(f"{name} is of another version of NumPy's format")
    shape, fortran, kind = np.lib.format.read_array_header_1_0(stream)
    expected, inner = _ARRAYS[name]
    if expected not in (kind.kind, kind.str) or fortran or shape[1:] != inner:
        raise ValueError(f"{name} is {kind} {shape}")
    values = stream.read()
    if math.prod(shape) * kind.itemsize != len(values) or not kind.itemsize:
        raise ValueError(f"{name} {shape} has {len(values)} bytes")
    return np.frombuffer(values, kind).reshape(shape)


def _check_lengths(arrays: Mapping[str, np.ndarray]) -> None:
    lengths, visible = arrays["length"], arrays["visible"]
    wanted = {
        **dict.fromkeys(_TRACKS, len(lengths)),
        **dict.fromkeys(_FRAMES, len(visible)),
        **dict.fromkeys(_RECORDS, int(visible.sum())),
    }
    for name, count in wanted.items():
        if len(arrays[name]) != count:
            raise ValueError(f"{name} has {len(arrays[name])} lines of {count}")
    # Lengths that are too large would overflow their sum.
    fits = len(lengths) and 1 <= lengths.min() and lengths.max() <= len(visible)
    if not fits or lengths.sum() != len(visible):
        raise ValueError(f"length does not add up to {len(visible)} frames")
