"""Tells files of weights from what people have in their place.

A download that failed leaves a web page, a repository without git-LFS a pointer, and
PyTorch writes other things than state dicts into files of the same name.
"""

import pathlib
import zipfile
from typing import Literal

from dst_jax.errors import InputError, shortened

# How other files begin: what they are, and the mend.
_BEGINNINGS = {
    b"version https://git-lfs": (
        "a pointer of git-LFS, not the file itself; run `git lfs pull`"
    ),
    b"\x1f\x8b": "a gzip archive; unpack it first",
    b"BZh": "a bzip2 archive; unpack it first",
    b"\xfd7zXZ": "an xz archive; unpack it first",
    b"\x28\xb5\x2f\xfd": "a zstd archive; unpack it first",
    b"7z\xbc\xaf": "a 7z archive; unpack it first",
    b"Rar!": "a rar archive; unpack it first",
    b"\x89HDF": "an HDF5 file, as Keras writes; give weights of PyTorch",
    b"\x93NUMPY": "an array of NumPy; give weights of PyTorch",
}


def weights_kind(path: pathlib.Path) -> Literal["pytorch", "safetensors"]:
    """Returns what reads the weights in a file.

    Args:
      path: A file that exists.

    Raises:
      InputError: If it is visibly something else; it says what.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise InputError(f"{path}: is empty; download or save it again.")
    for beginning, what in _BEGINNINGS.items():
        if head.startswith(beginning):
            raise InputError(f"{path}: is {what}.")
    if head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<"):
        raise InputError(
            f"{path}: is a web page, so its download failed; download it again."
        )
    # A safetensors file begins with the length of its header, which is JSON.
    if 2 <= int.from_bytes(head[:8], "little") <= size - 8 and head[8:9] == b"{":
        return "safetensors"
    if head.startswith(b"PK"):
        _check_archive(path, size)
    elif _is_text(head):
        raise InputError(
            f"{path}: is a text file that begins with {shortened(head[:60].decode())}; "
            "give weights of PyTorch."
        )
    return "pytorch"


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("ascii")
    except UnicodeDecodeError:
        return False
    return all(one.isprintable() or one.isspace() for one in text)


def _check_archive(path: pathlib.Path, size: int) -> None:
    """Refuses zip archives that `torch.save` does not write, before PyTorch opens them.

    Raises:
      InputError: If the archive is cut off, compressed, or holds something else.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError):
        raise InputError(
            f"{path}: is a zip archive, as torch.save writes, that is cut off or "
            f"damaged ({size:,} bytes); download it again."
        ) from None
    names = [member.filename for member in members]
    if any("/code/" in name or name.endswith("/constants.pkl") for name in names):
        raise InputError(
            f"{path}: is a TorchScript archive, which holds a program; save its "
            "weights with torch.save(torch.jit.load(FILE).state_dict(), OTHER)."
        )
    if not any(name.endswith("data.pkl") for name in names):
        shown = ", ".join(names[:3]) or "nothing"
        raise InputError(
            f"{path}: is a zip archive that holds {shown}; unpack it, and give the "
            "file of weights."
        )
    stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
    if not stored or sum(member.file_size for member in members) > size:
        raise InputError(
            f"{path}: is a zip archive that is larger when unpacked, which torch.save "
            "does not write; save the weights again."
        )
