"""The verbs of the command line, a frozen dataclass each; docstrings are the help."""

import dataclasses
import pathlib
import typing
from typing import Annotated, Any, Literal, TypeAlias

import tyro
from tyro.conf import FlagCreatePairsOff as Flag
from tyro.conf import Positional, arg
from tyro.conf import UseAppendAction as Append

Path = pathlib.Path
CONFIG = arg(metavar="CONFIG", help="a .py file, or see `dst-jax config list`")
Students: TypeAlias = Annotated[
    Append[tuple[str, ...]],
    arg(help="NAME=ZOO or NAME=SPEC.json, repeatable; replace the config's"),
]
Sources: TypeAlias = Annotated[
    Positional[tuple[str, ...]],
    arg(metavar="[SOURCE ...]", help="LAYOUT:DIR; the config's if none"),
]
SkipBad: TypeAlias = Annotated[
    Flag[bool], arg(help="leave out what `dst-jax data verify` found wrong")
]
TimeLimit: TypeAlias = Annotated[
    str | None,
    arg(help="as 90s, 170m, 1h30m: ends in time, all saved, with exit code 75"),
]


@dataclasses.dataclass(frozen=True)
class Demo:
    """Distil two students on synthetic video, and write a report.

    Makes video, trains a miniature teacher, searches the architecture of the dull
    student, trains both students without (NOKD) and with distillation (TSsKD),
    evaluates all networks on unseen video, and writes report.html and report.json. This
    takes about ten minutes on two cores.
    """

    workdir: Annotated[Path, arg(help="folder for data, runs and report")]
    family: Annotated[
        Literal["siamfc", "siamrpn"], arg(help="of miniature trackers")
    ] = "siamfc"
    seed: Annotated[int, arg(help="of data, weights and data order")] = 0
    time_limit: TimeLimit = None


@dataclasses.dataclass(frozen=True)
class Train:
    """Train networks on the ground truth alone, for instance a teacher.

    Any field of the configuration can be given as --section.field VALUE;
    `dst-jax config show CONFIG` lists and explains them. The same command continues a
    run that was stopped. Bundles are written with every checkpoint.
    """

    config: Annotated[Positional[str], CONFIG]
    workdir: Annotated[Path, arg(help="folder for metrics, checkpoints, bundles")]
    student: Students = ()
    init: Annotated[
        Append[tuple[str, ...]], arg(help="start from [NAME=]BUNDLE, repeatable")
    ] = ()
    seed: Annotated[int | None, arg(help="of weights and data order")] = None
    sources: Sources = ()
    skip_bad: SkipBad = False
    time_limit: TimeLimit = None


@dataclasses.dataclass(frozen=True)
class Distill:
    """Train students under a frozen teacher: TS + AH + STR and sharing.

    Writes metrics, checkpoints and bundles of every student. Any field of the
    configuration can be given as --section.field VALUE, e.g. --optim.epochs 2
    --data.sources got10k:DIR coco:DIR; `dst-jax config show CONFIG` lists and explains
    them. --row chooses a row of the paper's tables. The same command continues a run
    that was stopped.
    """

    config: Annotated[Positional[str], CONFIG]
    teacher: Annotated[Path, arg(help="bundle of the frozen teacher")]
    workdir: Annotated[Path, arg(help="folder for metrics, checkpoints, bundles")]
    row: Annotated[
        str | None, arg(help="NOKD, TSKD, TSsKD, GT, TS+STR, ..., ah+mine, literal:ROW")
    ] = None
    student: Students = ()
    init: Annotated[
        Append[tuple[str, ...]], arg(help="start from NAME=BUNDLE, repeatable")
    ] = ()
    seed: Annotated[int | None, arg(help="of weights and data order")] = None
    sources: Sources = ()
    skip_bad: SkipBad = False
    time_limit: TimeLimit = None


@dataclasses.dataclass(frozen=True)
class Search:
    """Search the dull student's architecture by REINFORCE over layer shrinkage.

    Trains small networks derived from the teacher on a small set and rewards accuracy
    and compression. Writes ledger.jsonl, search.png, search.json and student.json; the
    next command is `dst-jax distill CONFIG --student dull=WORKDIR/student.json ...`.
    Any field of the configuration can be given, as --search.steps 50 or
    --policy.learning_rate 0.03; `dst-jax config show CONFIG` lists and explains them.
    The same command continues a search that was stopped.
    """

    config: Annotated[Positional[str], CONFIG]
    teacher: Annotated[Path, arg(help="bundle of the teacher")]
    workdir: Annotated[Path, arg(help="folder for ledger, plot and student.json")]
    seed: Annotated[int | None, arg(help="of policy, weights and data order")] = None
    sources: Sources = ()
    skip_bad: SkipBad = False
    time_limit: TimeLimit = None


@dataclasses.dataclass(frozen=True)
class Ablate:
    """Train and evaluate rows of the paper's ablations; compare them with its results.

    Table 4 (GT ... AH+TS+STR) trains the smallest student, Table 5 (NOKD, TSKD, TSsKD)
    all students of the configuration, and Fig. 6 the numbers of students of uniform
    widths that --students gives. Rows that need the same training share it. Writes
    ablation.md and ablation.json. A further call continues what was stopped, and can
    add rows, seeds and data sets. Any field of the configuration can be given as
    --section.field VALUE; `dst-jax config show CONFIG` lists and explains them.
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
    sources: Sources = ()
    skip_bad: SkipBad = False
    time_limit: TimeLimit = None


@dataclasses.dataclass(frozen=True)
class Convert:
    """Turn weights of another project into a bundle.

    The weights are those of siamfc-pytorch's network, or of DaSiamRPN's network, whose
    widths are read from its shapes. The bundle gets the public settings of online
    tracking. SiamRPNotb has the shapes of SiamRPNvot, so it needs `--preset otb`.
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
    force: Annotated[bool, arg(help="replace a bundle that is at OUT")] = False


@dataclasses.dataclass(frozen=True)
class Track:
    """Follow one object through a video and write boxes or an annotated video."""

    tracker: Annotated[Path, arg(help="bundle")]
    video: Annotated[Path, arg(help="a folder of images, or a video file")]
    box: Annotated[str, arg(help="x,y,w,h in the first frame, px, 0-based")]
    out: Annotated[Path, arg(help="OUT.mp4 (annotated) or OUT.txt (x,y,w,h a line)")]


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Score trackers, or result files of any tracker, on a data set.

    Result files are called <sequence>.txt and have a line x,y,w,h per frame, in the
    data set's own convention (OTB counts pixels from 1). Scoring them needs no frames.
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
    a report. Training refuses a data set whose report lists faults; with --skip-bad it
    leaves them out. For a pack every record is decoded, with or without --all, and no
    report is written. The command exits with 2 if there are faults.
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
    """Cut the patches of all targets once, so that training only decodes them.

    Writes a TFDS data set in ArrayRecord format; train with --data.sources packed:DIR.
    The data sets can also be given as --data.sources SOURCE [SOURCE ...]. A
    configuration decides scale and size of the patches; any of its fields can be given,
    as --augment.search_shift_px 64, and `dst-jax config show CONFIG` lists and explains
    them. The same command continues a pack that was stopped.
    """

    out: Annotated[Path, arg(help="folder of the pack; it must not exist")]
    config: Annotated[str, arg(help="what it is for: a .py file, or see `config list`")]
    sources: Annotated[
        Positional[tuple[str, ...]],
        arg(metavar="SOURCE [SOURCE ...]", help="LAYOUT:DIR, such as got10k:DIR"),
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


@dataclasses.dataclass(frozen=True)
class Info:
    """Print layers, sizes and costs of an architecture or a bundle."""

    name: Annotated[
        Positional[str],
        arg(metavar="NAME", help="name in the zoo, SPEC.json, or a bundle's folder"),
    ]


@dataclasses.dataclass(frozen=True)
class Show:
    """Print every field of a configuration as the command line takes it, with its help.

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


@dataclasses.dataclass(frozen=True)
class ExportRun:
    """Write the bundles of a training that was stopped, from a checkpoint of it.

    Training does so itself with every checkpoint. Neither the data nor the teacher is
    needed.
    """

    workdir: Annotated[
        Positional[Path], arg(metavar="WORKDIR", help="folder of the training")
    ]
    step: Annotated[
        int | None,
        arg(help="of a checkpoint, into bundles-STEP; None: the newest, into bundles"),
    ] = None


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
    | Annotated[ExportRun, tyro.conf.subcommand("export-run")]
)


def options(verb: Any) -> list[str]:
    """Returns names of a verb's own options as its help spells them, without dashes."""
    hints = typing.get_type_hints(type(verb), include_extras=True)
    return [
        name.replace("_", "-")
        for name, hint in hints.items()
        if Positional not in getattr(hint, "__metadata__", ())
    ]
