"""The verbs of `dst-jax data`, a frozen dataclass each; docstrings are the help."""

import dataclasses
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional, arg

from dst_jax.command.kinds import Flag, Path, SkipBad, optional


@dataclasses.dataclass(frozen=True)
class Verify:
    """Find what is wrong with a data set before training does.

    Checks annotations and decodes a few frames per sequence, prints a table and writes
    a report. Training refuses a data set whose report lists faults; with --skip-bad it
    leaves them out. For a pack every record is decoded, with or without --all, and no
    report is written. The command exits with 2 if there are faults.
    """

    source: Annotated[
        Positional[str],
        arg(metavar="SOURCE", help="LAYOUT:DIR, such as got10k:DIR, or packed:DIR"),
    ]
    all: Annotated[Flag[bool], arg(help="decode every frame")] = False
    report: Annotated[
        Path | None,
        optional("FILE", "instead of DIR.verify.json, where training looks"),
    ] = None


@dataclasses.dataclass(frozen=True)
class Pack:
    """Cut the patches of all targets once, so that training only decodes them.

    Writes a TFDS data set in ArrayRecord format; train with --data.sources packed:DIR.
    The data sets can also be given as --data.sources SOURCE [SOURCE ...]. A
    configuration decides scale and size of the patches; any of its fields can be
    given, as --augment.search_shift_px 64, and `dst-jax config show CONFIG` lists and
    explains them. The same command continues a pack that was stopped.
    """

    out: Annotated[Path, arg(help="folder of the pack; it must not exist")]
    config: Annotated[
        str,
        arg(
            metavar="CONFIG",
            help="what it is for: a .py file, or see `dst-jax config list`",
        ),
    ]
    sources: Annotated[
        Positional[tuple[str, ...]],
        optional("SOURCE [SOURCE ...]", "LAYOUT:DIR, such as got10k:DIR"),
    ] = ()
    encoding: Annotated[
        Literal["jpeg", "raw"], arg(help="raw: 12 times the size, nothing to decode")
    ] = "jpeg"
    quality: Annotated[int, arg(help="of JPEG patches, 1 to 100")] = 95
    workers: Annotated[int, arg(help="threads; 0: one per core")] = 0
    skip_bad: SkipBad = False


@dataclasses.dataclass(frozen=True)
class ListLayouts:
    """List the layouts of data sets that can be read."""


@dataclasses.dataclass(frozen=True)
class Data:
    """Verify data sets, pack them, or list the layouts that can be read."""

    do: tyro.conf.OmitArgPrefixes[
        Annotated[Verify, tyro.conf.subcommand("verify", prefix_name=False)]
        | Annotated[Pack, tyro.conf.subcommand("pack", prefix_name=False)]
        | Annotated[ListLayouts, tyro.conf.subcommand("list", prefix_name=False)]
    ]
