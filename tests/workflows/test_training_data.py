import dataclasses
import io

import pytest
from rich.console import Console

from dst_jax.command import settings
from dst_jax.data.pipeline import DataConfig
from dst_jax.errors import InputError
from dst_jax.workflows.training_data import load_data
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
