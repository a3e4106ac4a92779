"""What a run says of the parts of networks that learn in each of its phases."""

import dataclasses
import io

import numpy as np
from rich.console import Console

from dst_jax.command.settings import load_experiment
from dst_jax.data.synthetic.dataset import write_synthetic
from dst_jax.distill import with_row
from dst_jax.train import make_phases
from dst_jax.workflows.phase_lines import phase_lines
from dst_jax.workflows.train import run_training
from tests import networks
from tests.workflows import test_ablate


def lines_of(name, adapters=None):
    experiment = load_experiment(name)
    optim, batch = experiment.optim, experiment.data.batch
    return [
        line
        for phase in make_phases(optim, experiment.students, batch=batch)
        for line in phase_lines(
            phase,
            experiment.students,
            adapters or {},
            total_steps=optim.total_steps(batch),
        )
    ]


def test_siamdw_tells_of_each_block_that_thaws():
    # The sizes of blocks are those of the table of SiamDW's parameters.
    blocks = {"layer1": (75_008, 70_400, 70_400), "layer2": (379_392, *[280_064] * 3)}
    order = [("layer2", n) for n in (4, 3, 2, 1)] + [("layer1", n) for n in (3, 2, 1)]
    shares = (0.0, 0.1, 0.2, 0.3, 0.5, 0.6, 0.7)
    lines, count, total = lines_of("siamdw_teacher"), 0, 468_750
    assert len(lines) == 7
    for line, share, (layer, block) in zip(lines, shares, order, strict=True):
        count += blocks[layer][block - 1]
        assert line.startswith(f"from step {round(share * total):,} of {total:,} ")
        assert line.endswith(f": {count:,} of 1,444,928 parameters")
    assert " teacher learns backbone/layer2/block4: 280,064 of " in lines[0]
    assert " learns backbone/layer2/block3, backbone/layer2/block4: " in lines[1]
    assert " learns backbone/layer2: " in lines[3]
    assert " learns backbone/layer1, backbone/layer2: " in lines[6]


def test_rates_of_parts_and_adapters_are_told():
    first, last = lines_of("siamrpnpp_teacher")
    assert " teacher learns head: " in first and "rate" not in first
    slower = "; ".join(f"backbone/layer{n} at 0.1 of the rate" for n in (2, 3, 4))
    assert last.endswith(f" parameters; {slower}")
    own = {"teacher": {"point": {"bias": np.ones(7)}}}
    line = lines_of("siamdw_teacher", own)[0]
    assert " backbone/layer2/block4, adapters: 280,071 of 1,444,935 " in line


def test_a_run_says_what_learns_when_it_begins_a_phase_or_goes_on(tmp_path):
    folder = write_synthetic(tmp_path / "videos", test_ablate.VIDEOS, seed=0)
    experiment = test_ablate.experiment_of(networks.STUDENTS, f"got10k:{folder}")
    parts = (("conv1", 0.0, 0.0), ("dull:conv2", 1.0, 0.5))
    optim = dataclasses.replace(experiment.optim, parts=parts)
    experiment = dataclasses.replace(
        experiment, optim=optim, distill=with_row(experiment.distill, "NOKD")
    )
    console = Console(file=io.StringIO(), width=200)
    run_training(experiment, tmp_path / "run", console=console)
    said = [line for line in console.file.getvalue().splitlines() if "learns" in line]
    assert [" ".join(line.split()[:6]) for line in said] == [
        f"from step {step} of 2 {name}" for step in (0, 1) for name in networks.STUDENTS
    ]
    both = "learns backbone/conv2, backbone/conv3: "
    assert "dull learns backbone/conv3: 20 of 128 parameters" in said[0]
    assert both in said[1] and both in said[2] and both in said[3]
