"""Kinds of options that several verbs take."""

import pathlib
import typing
from typing import Annotated, Any, TypeAlias

import tyro
from tyro.conf import Positional, UseAppendAction, arg
from tyro.constructors import PrimitiveConstructorSpec

from dst_jax.files import user_path


def _read_path(words: list[str]) -> pathlib.Path:
    # Python takes an empty name for the current folder.
    return pathlib.Path(user_path(words[0]) and words[0])


Append = UseAppendAction
Flag = tyro.conf.FlagCreatePairsOff
Path: TypeAlias = Annotated[
    pathlib.Path,
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="PATH",
        instance_from_str=_read_path,
        is_instance=lambda value: isinstance(value, pathlib.Path),
        str_from_instance=lambda value: [str(value)],
    ),
]


def optional(metavar: str, told: str) -> Any:
    """Returns the look of an option whose default is no value, which is not told."""
    return arg(metavar=metavar, help=told, help_behavior_hint="")


Seed: TypeAlias = Annotated[
    int | None,
    optional("INT", "of weights and data order; the config's if none"),
]
CONFIG = arg(metavar="CONFIG", help="a .py file, or see `dst-jax config list`")
Students: TypeAlias = Annotated[
    Append[tuple[str, ...]],
    arg(
        metavar="NAME=ARCHITECTURE",
        help="in the zoo, or SPEC.json; +bias for SiamFC's; replace the config's",
    ),
]
Backbones: TypeAlias = Annotated[
    Append[tuple[str, ...]],
    arg(metavar="[NAME=]BUNDLE", help="start a student with the backbone of this one"),
]
Rows: TypeAlias = Annotated[
    tuple[str, ...],
    optional(
        "ROW [ROW ...]",
        'GT TS GT+TS AH+TS TS+STR ... NOKD TSKD TSsKD teacher "r50 w/o" ...; all of '
        "--tables if none",
    ),
]
Tables: TypeAlias = Annotated[
    tuple[str, ...],
    optional(
        "TABLE [TABLE ...]",
        "4, 5, 6, dlf or loretrack; 4 and 5 if neither this nor --rows or --students",
    ),
]
Sources: TypeAlias = Annotated[
    Positional[tuple[str, ...]],
    optional("[SOURCE ...]", "LAYOUT:DIR, such as got10k:DIR; the config's if none"),
]
TimeLimit: TypeAlias = Annotated[
    str | None,
    optional("TIME", "as 90s, 170m, 1h30m: ends in time, all saved, with exit code 75"),
]
Coordinator: TypeAlias = Annotated[
    str | None,
    optional("HOST:PORT", "of process 0; for one run by several processes"),
]
Processes: TypeAlias = Annotated[
    int | None, optional("INT", "how many there are; with --coordinator")
]
ProcessId: TypeAlias = Annotated[
    int | None, optional("INT", "of this one, from 0; with --coordinator")
]
OnPod: TypeAlias = Annotated[
    Flag[bool],
    arg(help="one run by all processes that a TPU pod, Slurm or MPI has started"),
]
Replay: TypeAlias = Annotated[
    Flag[bool],
    arg(help="repeat a run that diverged, say where it did, and save nothing"),
]
Profile: TypeAlias = Annotated[
    Flag[bool],
    arg(help="record ten steps, once compiled, for xprof and Perfetto"),
]
SkipBad: TypeAlias = Annotated[
    Flag[bool], arg(help="leave out what `dst-jax data verify` found wrong")
]


def options(verb: Any) -> list[str]:
    """Returns names of a verb's own options as its help spells them, without dashes."""
    hints = typing.get_type_hints(type(verb), include_extras=True)
    return [
        name.replace("_", "-")
        for name, hint in hints.items()
        if Positional not in getattr(hint, "__metadata__", ())
    ]
