"""The verbs of the command line, a frozen dataclass each; docstrings are the help."""

import dataclasses
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional, arg

from dst_jax.command.calibrate import Calibrate
from dst_jax.command.cost_verbs import Estimate, Info
from dst_jax.command.data_verbs import Data
from dst_jax.command.evaluate import Evaluate
from dst_jax.command.kinds import (
    CONFIG,
    Append,
    Backbones,
    Coordinator,
    Flag,
    OnPod,
    Path,
    Processes,
    ProcessId,
    Profile,
    Replay,
    Rows,
    Seed,
    SkipBad,
    Sources,
    Students,
    Tables,
    TimeLimit,
    optional,
)
from dst_jax.command.warmup import Warmup


@dataclasses.dataclass(frozen=True)
class Demo:
    """Distil two students on synthetic video, and write a report.

    Makes video, trains a miniature teacher, searches the architecture of the dull
    student (later families' are fixed), trains both students without (NOKD) and with
    distillation (TSsKD; SiamDW: DLF; OSTrack: LoReTrack), evaluates all networks on
    unseen video, and writes report.html and report.json. This takes some minutes on two
    cores. The same command continues what was stopped.

    Example: dst-jax demo --workdir runs/demo
    """

    workdir: Annotated[Path, arg(help="folder for data, runs and report")]
    family: Annotated[
        Literal["siamfc", "siamrpn", "siamrpnpp", "siamdw", "ostrack"],
        arg(help="of miniature trackers"),
    ] = "siamfc"
    seed: Annotated[int, arg(help="of data, weights and data order")] = 0
    time_limit: TimeLimit = None


@dataclasses.dataclass(frozen=True)
class Train:
    """Train networks on the ground truth alone, for instance a teacher.

    Writes metrics and checkpoints, and with each a bundle of every network. Any field
    of the configuration can be given as --section.field VALUE, and `dst-jax config show
    CONFIG` lists and explains them. The same command continues a run that was stopped.

    Example: dst-jax train siamfc_teacher --workdir D --data.sources got10k:DIR
    """

    config: Annotated[Positional[str], CONFIG]
    workdir: Annotated[Path, arg(help="folder for metrics, checkpoints, bundles")]
    student: Students = ()
    init: Annotated[
        Append[tuple[str, ...]],
        arg(metavar="[NAME=]BUNDLE", help="start a student from these weights"),
    ] = ()
    backbone: Backbones = ()
    sources: Sources = ()
    seed: Seed = None
    skip_bad: SkipBad = False
    time_limit: TimeLimit = None
    replay: Replay = False
    profile: Profile = False
    coordinator: Coordinator = None
    processes: Processes = None
    process_id: ProcessId = None
    pod: OnPod = False


@dataclasses.dataclass(frozen=True)
class Distill:
    """Train small networks, the students, under a frozen teacher.

    They learn from the ground truth, from the teacher (TS, AH, STR; point, pair) and
    from one another. Any field of the configuration can be given as --section.field
    VALUE, such as --optim.epochs 2; `dst-jax config show CONFIG` explains them. The
    same command continues a run that was stopped.

    Example: dst-jax distill siamfc_dst_short --teacher BUNDLE --workdir runs/mine
    """

    config: Annotated[Positional[str], CONFIG]
    teacher: Annotated[Path, arg(metavar="BUNDLE", help="the frozen teacher")]
    workdir: Annotated[Path, arg(help="folder for metrics, checkpoints, bundles")]
    row: Annotated[
        str | None,
        optional("ROW", "NOKD, TSKD, TSsKD, GT, TS+STR, ..., ah+mine, literal:ROW"),
    ] = None
    probe: Annotated[Flag[bool], arg(help="weigh the terms, save nothing")] = False
    student: Students = ()
    init: Annotated[
        Append[tuple[str, ...]],
        arg(metavar="NAME=BUNDLE", help="start a student from these weights"),
    ] = ()
    init_from_teacher: Annotated[
        Flag[bool], arg(help="start the others from the teacher's, positions resized")
    ] = False
    backbone: Backbones = ()
    sources: Sources = ()
    seed: Seed = None
    skip_bad: SkipBad = False
    time_limit: TimeLimit = None
    replay: Replay = False
    profile: Profile = False
    coordinator: Coordinator = None
    processes: Processes = None
    process_id: ProcessId = None
    pod: OnPod = False


@dataclasses.dataclass(frozen=True)
class Search:
    """Search the dull student's architecture by REINFORCE over layer shrinkage.

    Trains small networks derived from the teacher on a small set and rewards accuracy
    and compression. Writes ledger.jsonl, search.png, search.json and student.json; the
    next command is `dst-jax distill CONFIG --student dull=WORKDIR/student.json ...`.
    Any field of the configuration can be given, for instance --search.steps 50, and
    `dst-jax config show CONFIG` lists and explains them. The same command continues a
    search that was stopped.
    """

    config: Annotated[Positional[str], CONFIG]
    teacher: Annotated[Path, arg(metavar="BUNDLE", help="the teacher")]
    workdir: Annotated[Path, arg(help="folder for ledger, plot and student.json")]
    sources: Sources = ()
    seed: Annotated[
        int | None,
        optional("INT", "of policy, weights and data order; the config's if none"),
    ] = None
    skip_bad: SkipBad = False
    time_limit: TimeLimit = None


@dataclasses.dataclass(frozen=True)
class Ablate:
    """Train and evaluate rows of the paper's ablations; compare them with its results.

    Table 4 (GT ... AH+TS+STR) trains the smallest student, Table 5 (NOKD, TSKD, TSsKD)
    all students of the configuration, Table 6 each of them without and with the others
    ("r50 w/o", "r50 with", and teacher), and Fig. 6 the numbers of students of uniform
    widths that --students gives. Rows that need the same training share it. Writes
    ablation.md and ablation.json. A further call continues what was stopped, and can
    add rows, seeds and data sets. Any field of the configuration can be given as
    --section.field VALUE, and `dst-jax config show CONFIG` lists and explains them.

    Example: dst-jax ablate CONFIG --teacher BUNDLE --workdir D --rows NOKD TSsKD
    """

    config: Annotated[Positional[str], CONFIG]
    workdir: Annotated[Path, arg(help="folder for runs and tables")]
    teacher: Annotated[
        Path | None,
        optional("BUNDLE", "the frozen teacher; only GT and NOKD need none"),
    ] = None
    rows: Rows = ()
    tables: Tables = ()
    backbone: Backbones = ()
    students: Annotated[
        tuple[int, ...],
        optional("INT [INT ...]", "numbers of students for Fig. 6, e.g. 1 2 3 4"),
    ] = ()
    seeds: Annotated[
        tuple[int, ...],
        optional("INT [INT ...]", "a run of each row per seed; the config's if none"),
    ] = ()
    dataset: Annotated[
        tuple[str, ...],
        optional(
            "LAYOUT:DIR [LAYOUT:DIR ...]",
            "to test on; the demonstration's video if none",
        ),
    ] = ()
    html: Annotated[
        Path | None,
        optional("PAGE.html", "page of all networks; .csv .tex .json beside"),
    ] = None
    sources: Sources = ()
    skip_bad: SkipBad = False
    time_limit: TimeLimit = None


@dataclasses.dataclass(frozen=True)
class Convert:
    """Turn weights of another project into a bundle.

    Projects are siamfc-pytorch, dasiamrpn, pysot (SiamRPN++), siamdw, ostrack and, for
    a backbone alone, mae (DeiT and timm too), imagenet-siamdw,
    imagenet-resnet or imagenet-resnet-bgr (BGR images of 0-255); widths are read from
    shapes. Settings of tracking are the public ones, or a preset: big, vot, otb, alex,
    r50, r50-8gpu, r50-otb (SiamRPNotb, like SiamRPNvot in shape, needs `otb`); SiamDW's
    siamdw-otb13, -otb15, -vot15, -vot16, -vot17, and siamdw-rpn-otb13, -otb15, -vot17.

    Example: dst-jax convert --source siamfc-pytorch alexnet.pth teacher.bundle
    """

    file: Annotated[
        Positional[Path], arg(metavar="FILE", help="the weights, e.g. a .pth file")
    ]
    out: Annotated[Positional[Path], arg(metavar="OUT", help="folder of the bundle")]
    source: Annotated[
        str, arg(metavar="PROJECT", help="whose format, one of those named above")
    ]
    architecture: Annotated[
        str | None,
        optional("NAME", "name in the zoo; as the project has it if none"),
    ] = None
    preset: Annotated[
        str | None,
        optional("NAME", "settings, one of those named above; the network's if none"),
    ] = None
    search_factor: Annotated[
        float | None,
        optional("F", "what an OSTrack search crop shows, in sqrt(w h): 4 or 5"),
    ] = None
    resize_positions: Annotated[
        Flag[bool], arg(help="for the crops of --architecture (OSTrack)")
    ] = False
    force: Annotated[Flag[bool], arg(help="replace a bundle that is at OUT")] = False


@dataclasses.dataclass(frozen=True)
class Track:
    """Follow objects through a video and write boxes or an annotated video.

    If the video stops or Ctrl-C comes, OUT has the frames so far. Of a camera, an
    address or a pipe each frame is in OUT.csv or OUT.jsonl before the next one comes;
    pipes carry y4m, MJPEG, Matroska, MPEG-TS, AVI or MP4 with fast start.

    Example: dst-jax track --tracker BUNDLE --video clip.mp4 --box 1,2,30,40 --out t.mp4
    """

    tracker: Annotated[Path, arg(metavar="BUNDLE", help="the tracker")]
    out: Annotated[
        Path,
        arg(
            help="OUT.mp4 (annotated), OUT.txt (x,y,w,h a line), OUT.csv or OUT.jsonl "
            "(with score and state, of several objects too)"
        ),
    ]
    video: Annotated[
        str | None,
        optional("VIDEO", "folder of images, video file, rtsp://..., or - for a pipe"),
    ] = None
    camera: Annotated[int | None, optional("N", "follow in /dev/videoN instead")] = None
    box: Annotated[
        Append[tuple[str, ...]],
        optional(
            "X,Y,W,H", "in the first frame, px, from 0; once for each object; or ask"
        ),
    ] = ()
    show: Annotated[Flag[bool], arg(help="show frames and boxes in a window")] = False


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
    | Annotated[Warmup, tyro.conf.subcommand("warmup")]
    | Annotated[Search, tyro.conf.subcommand("search")]
    | Annotated[Ablate, tyro.conf.subcommand("ablate")]
    | Annotated[Convert, tyro.conf.subcommand("convert")]
    | Annotated[Track, tyro.conf.subcommand("track")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Calibrate, tyro.conf.subcommand("calibrate")]
    | Annotated[Data, tyro.conf.subcommand("data")]
    | Annotated[Info, tyro.conf.subcommand("info")]
    | Annotated[Estimate, tyro.conf.subcommand("estimate")]
    | Annotated[Config, tyro.conf.subcommand("config")]
    | Annotated[ExportRun, tyro.conf.subcommand("export-run")]
)
