"""What the command line takes: one frozen value per verb; docstrings are its help."""

import dataclasses
import pathlib
import typing
from typing import Annotated, Any, Literal, TypeAlias

import tyro
from tyro.conf import Positional, UseAppendAction, arg

Append = UseAppendAction
Flag = tyro.conf.FlagCreatePairsOff
Path = pathlib.Path
CONFIG = arg(metavar="CONFIG", help="a .py file, or see `dst-jax config list`")
Students: TypeAlias = Annotated[
    Append[tuple[str, ...]],
    arg(help="NAME=ZOO or NAME=SPEC.json, repeatable; replace the config's"),
]
SkipBad: TypeAlias = Annotated[
    Flag[bool], arg(help="leave out what `dst-jax data verify` found wrong")
]


@dataclasses.dataclass(frozen=True)
class Demo:
    """Distil two students on synthetic video, from nothing, and report.

    Makes video, trains a miniature teacher, searches the architecture of the dull
    student, trains both students without (NOKD) and with distillation (TSsKD),
    evaluates all on unseen video, and writes report.html and report.json. About ten
    minutes on two cores.
    """

    workdir: Annotated[Path, arg(help="folder for data, runs and report")]
    family: Annotated[
        Literal["siamfc", "siamrpn"], arg(help="of miniature trackers")
    ] = "siamfc"
    seed: Annotated[int, arg(help="of data, weights and data order")] = 0


@dataclasses.dataclass(frozen=True)
class Train:
    """Train networks on the ground truth alone, a teacher for instance.

    Any field of the configuration can be given as --section.field VALUE;
    `dst-jax config show CONFIG` lists and explains them. Running again goes on.
    """

    config: Annotated[Positional[str], CONFIG]
    workdir: Annotated[Path, arg(help="folder for metrics, checkpoints, bundles")]
    student: Students = ()
    init: Annotated[
        Append[tuple[str, ...]], arg(help="start from [NAME=]BUNDLE, repeatable")
    ] = ()
    seed: Annotated[int | None, arg(help="of weights and data order")] = None
    skip_bad: SkipBad = False


@dataclasses.dataclass(frozen=True)
class Distill:
    """Train students under a frozen teacher: TS + AH + STR and sharing.

    Writes metrics, checkpoints and one bundle per student. Any field of the
    configuration can be given as --section.field VALUE, e.g. --optim.epochs 2
    --data.sources got10k:DIR coco:DIR; `dst-jax config show CONFIG` lists and explains
    them. --row picks a row of the paper's tables. Running again goes on.
    """

    config: Annotated[Positional[str], CONFIG]
    teacher: Annotated[Path, arg(help="bundle of the frozen teacher")]
    workdir: Annotated[Path, arg(help="folder for metrics, checkpoints, bundles")]
    row: Annotated[
        str | None, arg(help="NOKD, TSKD, TSsKD, GT, TS, GT+TS, AH+TS, TS+STR, ...")
    ] = None
    student: Students = ()
    init: Annotated[
        Append[tuple[str, ...]], arg(help="start from NAME=BUNDLE, repeatable")
    ] = ()
    seed: Annotated[int | None, arg(help="of weights and data order")] = None
    skip_bad: SkipBad = False


@dataclasses.dataclass(frozen=True)
class Search:
    """Search the dull student's architecture: REINFORCE over layer shrinkage.

    Trains small networks derived from the teacher on a small set and rewards
    accuracy and compression. Writes ledger.jsonl, search.png and student.json; go on
    with `dst-jax distill CONFIG --student dull=WORKDIR/student.json ...`. Any field of
    the configuration can be given, as --search.steps 50 or --policy.learning_rate 0.03;
    `dst-jax config show CONFIG` lists and explains them. Running again goes on.
    """

    config: Annotated[Positional[str], CONFIG]
    teacher: Annotated[Path, arg(help="bundle of the teacher")]
    workdir: Annotated[Path, arg(help="folder for ledger, plot and student.json")]
    seed: Annotated[int | None, arg(help="of policy, weights and data order")] = None
    skip_bad: SkipBad = False


@dataclasses.dataclass(frozen=True)
class Ablate:
    """Train and evaluate rows of the paper's ablations; write them beside its own.

    Table 4 (GT ... AH+TS+STR) is the smallest student's, Table 5 (NOKD, TSKD, TSsKD)
    that of all students of the configuration, Fig. 6 that of --students of uniform
    widths. Rows that come to the same training share it. Writes ablation.md and
    ablation.json; running again goes on, and adds rows, seeds and data sets. Any field
    of the configuration can be given as --section.field VALUE; `dst-jax config show
    CONFIG` lists and explains them.
    """

    config: Annotated[Positional[str], CONFIG]
    workdir: Annotated[Path, arg(help="folder for runs and tables")]
    teacher: Annotated[
        Path | None,
        arg(help="bundle of the frozen teacher; only GT and NOKD need none"),
    ] = None
    rows: Annotated[
        tuple[str, ...],
        arg(
            help="GT TS GT+TS AH+TS TS+STR ... NOKD TSKD TSsKD; if none of --rows and "
            "--students is given, all"
        ),
    ] = ()
    students: Annotated[
        tuple[int, ...], arg(help="numbers of students for Fig. 6, e.g. 1 2 3 4")
    ] = ()
    seeds: Annotated[
        tuple[int, ...], arg(help="one run of each row per seed; the config's if none")
    ] = ()
    dataset: Annotated[
        tuple[str, ...],
        arg(help="otb:DIR got10k:DIR ...; the demonstration's test video if none"),
    ] = ()
    skip_bad: SkipBad = False


@dataclasses.dataclass(frozen=True)
class Convert:
    """Turn weights of another project into a bundle.

    The network of siamfc-pytorch, or DaSiamRPN's of any width, which is recognised by
    its shapes. The bundle gets the public settings of online tracking; SiamRPNotb has
    the shapes of SiamRPNvot, and wants `--preset otb`.
    """

    file: Annotated[
        Positional[Path], arg(metavar="FILE", help="the weights, e.g. a .pth file")
    ]
    out: Annotated[Positional[Path], arg(metavar="OUT", help="folder of the bundle")]
    source: Annotated[str, arg(help="whose format: siamfc-pytorch or dasiamrpn")]
    architecture: Annotated[
        str | None, arg(help="name in the zoo; None: as the project has it")
    ] = None
    preset: Annotated[
        str | None,
        arg(help="big, vot, otb or alex: what to track with; None: by the network"),
    ] = None


@dataclasses.dataclass(frozen=True)
class Track:
    """Follow one object through a video and write boxes or an annotated video."""

    tracker: Annotated[Path, arg(help="bundle")]
    video: Annotated[Path, arg(help="a folder of images, or a video file")]
    box: Annotated[str, arg(help="x,y,w,h in the first frame, px, 0-based")]
    out: Annotated[Path, arg(help="OUT.mp4 (annotated) or OUT.txt (x,y,w,h a line)")]


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Score trackers, or anybody's result files, on a data set.

    Result files are <sequence>.txt with x,y,w,h a line, in the data set's own
    convention (OTB counts pixels from 1); scoring them needs no frames.
    """

    dataset: Annotated[str, arg(help="otb:DIR, got10k:DIR")]
    tracker: Annotated[
        Append[tuple[Path, ...]], arg(help="bundle to run, repeatable")
    ] = ()
    results: Annotated[Path | None, arg(help="folder of result files")] = None
    results_origin: Annotated[
        int | None, arg(help="1 or 0: what the result files count pixels from")
    ] = None
    results_out: Annotated[
        Path | None,
        arg(help="folder for the trackers' boxes, <tracker>/<sequence>.txt"),
    ] = None
    json: Annotated[Path | None, arg(help="file for the scores")] = None


@dataclasses.dataclass(frozen=True)
class Verify:
    """Find what is wrong with a data set before training does.

    Checks annotations and decodes a few frames per sequence, prints a table and writes
    a report. Training refuses a data set whose report lists faults, or leaves out what
    it lists under --skip-bad. Of a pack every record is decoded, with --all or without,
    and there is no report. Exits with 2 if there are faults.
    """

    source: Annotated[
        Positional[str],
        arg(metavar="SOURCE", help="LAYOUT:DIR, such as got10k:DIR, or packed:DIR"),
    ]
    all: Annotated[bool, arg(help="decode every frame")] = False
    report: Annotated[
        Path | None, arg(help="file; None: DIR.verify.json, where training looks")
    ] = None


@dataclasses.dataclass(frozen=True)
class Pack:
    """Cut every target's patches once; training on them only decodes.

    Writes a TFDS data set in ArrayRecord format; train with --data.sources packed:DIR.
    A configuration decides scale and size of the patches; any of its fields can be
    given, as --augment.search_shift_px 64, and `dst-jax config show CONFIG` lists and
    explains them. Running again goes on.
    """

    sources: Annotated[
        Positional[tuple[str, ...]],
        arg(metavar="SOURCE [SOURCE ...]", help="LAYOUT:DIR, such as got10k:DIR"),
    ]
    out: Annotated[Path, arg(help="folder of the pack; it must not exist")]
    config: Annotated[str, arg(help="what it is for: a .py file, or see `config list`")]
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
    """Verify data sets, pack them; list the layouts that can be read."""

    do: tyro.conf.OmitArgPrefixes[
        Annotated[Verify, tyro.conf.subcommand("verify", prefix_name=False)]
        | Annotated[Pack, tyro.conf.subcommand("pack", prefix_name=False)]
        | Annotated[ListLayouts, tyro.conf.subcommand("list", prefix_name=False)]
    ]


@dataclasses.dataclass(frozen=True)
class Info:
    """Print layers, sizes and costs of an architecture or a bundle."""

    name: Annotated[
        Positional[str],
        arg(metavar="NAME", help="name in the zoo, SPEC.json, or a bundle's folder"),
    ]


@dataclasses.dataclass(frozen=True)
class Show:
    """Print every field of a configuration, as the command line takes it, and its help.

    In a pipe each field is one line, with the help after a #.
    """

    config: Annotated[Positional[str], CONFIG]


@dataclasses.dataclass(frozen=True)
class ListConfigs:
    """List the packaged configurations."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Show or list configurations."""

    do: (
        Annotated[Show, tyro.conf.subcommand("show", prefix_name=False)]
        | Annotated[ListConfigs, tyro.conf.subcommand("list", prefix_name=False)]
    )


Verb = (
    Annotated[Demo, tyro.conf.subcommand("demo")]
    | Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Distill, tyro.conf.subcommand("distill")]
    | Annotated[Search, tyro.conf.subcommand("search")]
    | Annotated[Ablate, tyro.conf.subcommand("ablate")]
    | Annotated[Convert, tyro.conf.subcommand("convert")]
    | Annotated[Track, tyro.conf.subcommand("track")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Data, tyro.conf.subcommand("data")]
    | Annotated[Info, tyro.conf.subcommand("info")]
    | Annotated[Config, tyro.conf.subcommand("config")]
)


def options(verb: Any) -> list[str]:
    """Returns names of a verb's own options, without dashes, as help spells them."""
    hints = typing.get_type_hints(type(verb), include_extras=True)
    return [
        name.replace("_", "-")
        for name, hint in hints.items()
        if Positional not in getattr(hint, "__metadata__", ())
    ]
