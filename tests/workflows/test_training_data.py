import dataclasses
import io
import os

import pytest
from rich.console import Console

from dst_jax.command import settings
from dst_jax.data.checks.verify import load_report, report_beside
from dst_jax.data.pipeline import DataConfig
from dst_jax.errors import InputError
from dst_jax.workflows.training_data import data_hash, load_data
from dst_jax.workflows.verify import verify_data
from tests.data.checks.test_verify import faulty
from tests.data.readers.trees import write_frames


def test_a_run_says_how_much_verification_takes_away(tmp_path):
    source = faulty(tmp_path / "d")
    # Equal first frames would make one video of the two that stay.
    write_frames(tmp_path / "d" / "c", range(6, 11))
    for number in range(1, 6):
        (tmp_path / "d" / "c" / f"{number:08d}.jpg").unlink()
    with pytest.raises(InputError, match="2 faults"):
        verify_data(
            source, every_frame=True, report_path=None, console=Console(quiet=True)
        )
    experiment = settings.load_experiment("demo_teacher")
    data = DataConfig(sources=(source,), validation_share=0.5)
    experiment = dataclasses.replace(experiment, data=data)
    said = Console(file=io.StringIO(), width=200)
    with pytest.raises(InputError, match="leave them out with --skip-bad"):
        load_data(experiment, said)
    lenient = settings.override(experiment, ["--data.skip_bad"])
    train, held_out = load_data(lenient, said)
    assert {s.name for s in (*train, *held_out)} == {"a", "c"}
    assert sum(int(s.visible.sum()) for s in (*train, *held_out)) == 9
    assert "left out 1 frame in 1: unreadable frame" in said.file.getvalue()


def test_a_data_set_whose_names_are_no_utf8_is_verified_and_read(tmp_path):
    root = tmp_path / os.fsdecode(b"lat\xef")
    for number in range(2):
        video = root / os.fsdecode(b"caf\xe9%d" % number)
        # OpenCV itself dies of a name that is no UTF-8.
        write_frames(tmp_path / "v", range(3 * number, 3 * number + 3), digits=4)
        root.mkdir(exist_ok=True)
        (tmp_path / "v").rename(video)
        (video / "boxes.txt").write_text("5,7,10,20\n" * 3)
    source, said = f"folder:{root}", Console(file=io.StringIO(), width=200)
    report = verify_data(source, every_frame=True, report_path=None, console=said)
    assert report.faults == ()
    assert load_report(report_beside(source)) == report
    assert r"lat\xef.verify.json" in said.file.getvalue()
    experiment = settings.load_experiment("demo_teacher")
    data = DataConfig(sources=(source,), validation_share=0.5)
    train, held_out = load_data(dataclasses.replace(experiment, data=data), said)
    assert {len(s) for s in (*train, *held_out)} == {3}
    assert data_hash(train) != data_hash(held_out)
    (video / "0004.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="is not safe to train on: 1 fault; mend"):
        verify_data(source, every_frame=True, report_path=None, console=said)
    assert r"caf\xe91/0004.jpg is no complete" in said.file.getvalue()
