"""Every command of the pages works as it stands; `command_stage` tells on what."""

import pathlib
import re
import shlex
from typing import NamedTuple

import pytest

from dst_jax.command import settings
from dst_jax.command.main import main
from dst_jax.workflows import demo
from dst_jax.workflows.ablation import run as ablation
from tests import command_stage

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
# `test_extending.py` runs that page, in a copy of the package that it changes.
OWN = ROOT / "docs" / "extending.md"
# They install, or run this suite or the whole demonstration.
OUTSIDE = (
    *("make demo", "make test", "make test-slow", ".ci/run"),
    "make .venv/.runtime && source .venv/bin/activate",
)
# Of clusters that are not here; tests/workflows/test_pod.py runs the last two.
LAUNCHERS = (
    "sbatch ",
    "gcloud ",
    "scripts/launch_tpu_pod.sh ",
    'python -c "from dst_jax.data import *; write_synthetic(',
    "python scripts/launch_",
)
LONG = ("demo", "train", "distill", "warmup", "search", "ablate", "export-run")
# Command lines within sentences that are complete.
WITHIN = (
    "dst-jax --help",
    "dst-jax config list",
    "dst-jax data list",
    "dst-jax config show siamfc_dst_short",
    "dst-jax data pack --help",
    "dst-jax data verify packed:my_pack",
    "dst-jax train siamfc_teacher --workdir runs/teacher "
    "--data.sources got10k:my_videos",
    "dst-jax train siamfc_teacher folder:my_videos --workdir runs/mine",
    "dst-jax demo --workdir runs/demo --seed 0",
    "dst-jax export-run runs/mine",
    "dst-jax config show siamfc_dst",
    "dst-jax info dstrpn",
    "dst-jax info siamdw",
    "dst-jax info siamdw-l",
    "dst-jax info ostrack-256",
)
# The same with a word left open, or the name of a verb alone.
OPEN = (
    "dst-jax VERB --help",
    "dst-jax info NAME",
    "dst-jax data VERB --help",
    "dst-jax data verify LAYOUT:DIR",
    "dst-jax distill CONFIG --row ah+ts+mine",
    "dst-jax calibrate BUNDLE --dataset LAYOUT:DIR",
    "dst-jax calibrate BUNDLE --dataset got10k:train_more --reported got10k:DIR",
    "dst-jax evaluate --dataset LAYOUT:DIR",
    "dst-jax evaluate --dataset otb:DIR --results DIR",
    "dst-jax demo --family siamrpn",
    "dst-jax demo --family siamrpnpp",
    "dst-jax demo --family siamrpnpp --seed S",
    "dst-jax demo --family siamdw --seed S",
    "dst-jax distill --row literal:ROW",
    "dst-jax distill --probe",
    "dst-jax distill siamfc_dst --teacher BUNDLE ...",
    "dst-jax search siamfc_search --teacher BUNDLE ...",
    "dst-jax ablate siamfc_dst --teacher BUNDLE --dataset otb:DIR --seeds 0 1 2",
    "dst-jax ablate siamfc_dst --teacher BUNDLE --students 1 2 3 4",
    "dst-jax ablate siamrpnpp_dst --tables 6 --teacher BUNDLE",
    "dst-jax ablate CONFIG --tables dlf",
    "dst-jax ablate dlf --tables dlf",
    "dst-jax distill dlf --row gt+point+pair --teacher BUNDLE",
    "dst-jax demo --family siamdw",
    "dst-jax demo --family ostrack",
    "dst-jax demo --family ostrack --seed S",
    "dst-jax distill loretrack --teacher BUNDLE",
    "dst-jax distill loretrack --probe",
    "dst-jax ablate loretrack --tables loretrack",
    "dst-jax evaluate --dataset dtb70:DIR --tracker A ...",
    "dst-jax evaluate --dataset lasot:DIR --tracker A ...",
    "dst-jax evaluate --dataset vot:DIR --tracker A ...",
    "dst-jax evaluate --dataset otb:DIR --tracker A --tracker B --plots P",
    "dst-jax evaluate --dataset otb:DIR --tracker A ... --plots P",
    "dst-jax evaluate --dataset trackingnet:DIR --tracker A --submit ZIP",
    "dst-jax evaluate --results DIR",
    "dst-jax estimate siamrpn_dst --teacher BUNDLE --devices 8",
    "dst-jax estimate CONFIG",
)


class Block(NamedTuple):
    """The command lines of one fenced block."""

    page: str
    number: int
    lines: tuple[str, ...]


def blocks():
    """The blocks of all pages in which dst-jax is called."""
    for page in PAGES:
        fences = re.findall(r"^```bash\n(.*?)^```$", page.read_text(), re.M | re.DOTALL)
        for number, text in enumerate(fences if page != OWN else ()):
            joined = re.sub(r"\\\n\s*", "", text)
            yield Block(page.name, number, tuple(joined.strip().splitlines()))


BLOCKS = list(blocks())
CALLED = [block for block in BLOCKS if block.lines[0].startswith("dst-jax")]


def marked(values, lines_of):
    """Values as parameters; those that train are slow."""
    return [
        pytest.param(
            value,
            marks=[pytest.mark.slow]
            if any(line.split()[1] in LONG for line in lines_of(value))
            else [],
            id=lines_of(value)[0][:40],
        )
        for value in values
    ]


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """A folder in which a reader types, with tiny configurations; it is empty."""
    load = settings.load_experiment
    monkeypatch.setattr(
        settings, "load_experiment", lambda name: command_stage.small(load(name))
    )
    monkeypatch.setattr(settings, "read_spec", command_stage.small_spec)
    for module, name in (
        (demo, "TRAIN_VIDEOS"),
        (demo, "TEST_VIDEOS"),
        (ablation, "TEST_VIDEOS"),
    ):
        monkeypatch.setattr(module, name, command_stage.VIDEO)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def typed(line):
    """Runs a line as a reader types it; what went wrong, or ""."""
    words = shlex.split(line, comments=True)
    words = [command_stage.PLACEHOLDERS.get(word, word) for word in words]
    assert words[0] == "dst-jax"
    return "" if main(words[1:]) == 0 else line


@pytest.mark.optax
@pytest.mark.parametrize("block", marked(CALLED, lambda block: block.lines))
def test_a_block_of_commands_works_from_its_first_line_to_its_last(
    block, stage, capsys
):
    command_stage.build(stage, own_folder=block.page == "data.md")
    if "convert" in block.lines[0]:
        pytest.importorskip("torch")
        command_stage.write_weights(stage)
        # What the block makes is not there before.
        (stage / "teacher.bundle").rename(stage / "other.bundle")
    for line in block.lines:
        assert not typed(line), capsys.readouterr().err


@pytest.mark.optax
@pytest.mark.parametrize("line", marked(WITHIN, lambda line: [line]))
def test_a_command_within_a_sentence_works(line, stage, capsys):
    command_stage.build(stage, own_folder="folder:" in line)
    if "export-run" in line:
        run = "dst-jax distill CONFIG --teacher BUNDLE --workdir runs/mine"
        assert not typed(run)
        (stage / "runs" / "mine" / "bundles").rename(stage / "lost")
    if "packed:my_pack" in line:
        assert not typed(
            "dst-jax data pack got10k:my_videos --out my_pack --config CONFIG"
        )
    assert not typed(line), capsys.readouterr().err


def test_every_command_of_the_pages_is_run_here_or_known_to_be_left_out():
    outside = [block for block in BLOCKS if block not in CALLED]
    lines = [re.sub(r"\s*#.*", "", line) for block in outside for line in block.lines]
    lines = [line for line in lines if not line.startswith(LAUNCHERS)]
    assert [line for line in lines if line not in OUTSIDE] == []
    assert [
        b for b in CALLED for line in b.lines if not line.startswith("dst-jax ")
    ] == []
    unknown = []
    for page in PAGES:
        if page == OWN:
            continue
        text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.DOTALL)
        spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)]
        found = [span for span in spans if span.startswith("dst-jax ")]
        names = [
            f"dst-jax {verb}"
            for verb in (
                *LONG,
                *("calibrate", "evaluate", "info", "estimate", "convert", "track"),
            )
        ]
        unknown += [x for x in found if x not in (*WITHIN, *OPEN, *names)]
    assert unknown == []
