"""`dst-jax convert`: weights of other projects become bundles."""

import hashlib
import pathlib

from rich.console import Console

from dst_jax.arch import named
from dst_jax.bundle import Bundle, describe, save_bundle
from dst_jax.errors import InputError
from dst_jax.models.convert import read_state_dict, siamfc_from_pytorch
from dst_jax.track.config import SiamFCTracking
from dst_jax.workflows.versions import versions

SOURCES = ("siamfc-pytorch",)


def convert(
    source: str,
    file: pathlib.Path,
    out: pathlib.Path,
    *,
    architecture: str = "siamfc-alexnet",
    console: Console,
) -> pathlib.Path:
    """Writes the bundle `out` from the weights in `file`.

    Args:
      source: Whose format `file` has, one of `SOURCES`.
      file: A PyTorch state dict.
      out: Folder of the bundle.
      architecture: Name in the zoo that the weights were trained with.
      console: Where what was done, and what did not fit, is said.

    Raises:
      InputError: If the source is unknown or the weights do not fit.
    """
    if source not in SOURCES:
        raise InputError(f"--source {source}: there is {', '.join(SOURCES)}.")
    spec = named(architecture)
    state = read_state_dict(file)
    try:
        variables, left_over = siamfc_from_pytorch(state, spec)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    card = {
        "made_by": "dst-jax convert",
        "source": source,
        "source_file": file.name,
        "source_sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "left_over": list(left_over),
        "versions": versions(),
        "sizes": describe(spec),
    }
    save_bundle(Bundle(spec, variables, SiamFCTracking(), card), out)
    parameters = card["sizes"]["parameters"]
    console.print(f"{out}: {architecture}, {parameters:,} parameters, all found.")
    for name in left_over:
        console.print(f"  did not fit and was left out: {name}")
    return out
