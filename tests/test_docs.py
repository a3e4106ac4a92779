"""What the documentation tells a newcomer to type."""

import pathlib
import re
import shlex

import pytest

from dst_jax.cli import main
from dst_jax.data.readers import read_sequences
from tests.data import packs

ROOT = pathlib.Path(__file__).parents[1]
# In place of the real configuration: one of a network that a test can train.
TINY = """
import dataclasses

from dst_jax.data.pipeline import DataConfig
from dst_jax.distill import DistillConfig, with_row
from dst_jax.train import OptimConfig
from tests.data.packs import EXPERIMENT


def experiment():
    return dataclasses.replace(
        EXPERIMENT,
        data=DataConfig(sources=("unread:x",), batch=4, validation_share=0.34),
        distill=with_row(DistillConfig(label_radius_px=4.0, response_layers=(2, 3)), "NOKD"),
        optim=OptimConfig(epochs=1.0, pairs_per_epoch=8, learning_rate=1e-2),
    )
"""


def write_own_folder(folder, source):
    """Another data set's video as docs/data.md asks for one's own."""
    for sequence in read_sequences(source):
        video = folder / sequence.name
        video.mkdir(parents=True)
        lines = []
        for number, frame in enumerate(sequence.frames):
            name = video / f"{number:04d}.jpg"
            name.write_bytes(pathlib.Path(frame).read_bytes())
            cx, cy, w, h = sequence.boxes[number].tolist()
            seen = f"{cx - w / 2},{cy - h / 2},{w},{h}"
            lines.append(seen if sequence.visible[number] else "absent")
        (video / "boxes.txt").write_text("\n".join(lines) + "\n")


@pytest.mark.optax
def test_the_three_commands_lead_from_a_folder_to_a_run(tmp_path, monkeypatch, capsys):
    page = (ROOT / "docs" / "data.md").read_text()
    (block,) = re.findall(r"## Three commands.*?```bash\n(.*?)```", page, re.DOTALL)
    commands = [shlex.split(line) for line in block.strip().splitlines()]
    assert [words[:2] for words in commands] == [
        ["dst-jax", "data"],
        ["dst-jax", "data"],
        ["dst-jax", "train"],
    ]
    write_own_folder(tmp_path / "my_videos", packs.write_raw(tmp_path / "raw"))
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "siamfc_teacher.py").write_text(TINY)
    monkeypatch.chdir(tmp_path)
    for words in commands:
        assert main(words[1:]) == 0, capsys.readouterr().err
    assert (tmp_path / "runs" / "mine" / "bundles" / "student").is_dir()
