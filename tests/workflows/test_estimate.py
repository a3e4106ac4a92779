"""What a training costs, counted beforehand, against figures worked out by hand."""

import dataclasses
import io

import jax
import pytest
from rich.console import Console

from dst_jax.arch import named, tracker_cost
from dst_jax.command.main import main
from dst_jax.configs import demo_students
from dst_jax.errors import InputError
from dst_jax.workflows import estimate
from dst_jax.workflows.estimate import Estimate, estimate_step, print_estimate
from tests import networks, objectives

pytestmark = pytest.mark.optax


@pytest.fixture(scope="module")
def experiment():
    base = demo_students.experiment()
    return dataclasses.replace(
        base,
        students={"dull": networks.STUDENTS["dull"]},
        data=dataclasses.replace(base.data, batch=4),
        **objectives.row(objectives.TINY, "TSKD")._asdict(),
    )


@pytest.fixture(scope="module")
def found(experiment):
    return estimate_step(experiment, networks.TEACHER, devices=2)


def test_memory_is_that_of_the_arrays_that_a_step_gets(experiment, found):
    spec = networks.STUDENTS["dull"]
    cost, teacher = tracker_cost(spec), tracker_cost(networks.TEACHER)
    # Parameters, their momentum and a count of steps; statistics; the step's number.
    trained = 4 * (2 * cost.parameters + cost.statistics)
    assert trained <= found.memory["state"] <= trained + 32
    held = 4 * (teacher.parameters + teacher.statistics)
    assert found.memory["teacher"] == held
    assert found.batch == 2
    assert found.memory["temporary arrays"] > 0


def test_operations_are_those_of_the_layers_but_for_the_rest_of_the_step(found):
    """Twice the multiply-adds; crops, losses and updates are little beside them."""
    assert 0.8 < found.flops / (2 * found.macs) < 3.0


def test_parts_of_a_batch_cost_as_much_and_need_less_memory(experiment):
    """A batch of 32, of which two crops' worth of features lie in memory, not 32."""
    found = []
    for parts in (1, 16):
        optim = dataclasses.replace(experiment.optim, microbatches=parts)
        data = dataclasses.replace(experiment.data, batch=32)
        changed = dataclasses.replace(experiment, optim=optim, data=data)
        found.append(estimate_step(changed, networks.TEACHER))
    whole, split = found
    assert split.flops == whole.flops and split.batch == whole.batch == 32
    assert split.memory["state"] == whole.memory["state"]
    # Patches and crops of all pairs are there in both.
    crops = 32 * 3 * 4 * (31**2 + 47**2)
    kept = [x.memory["temporary arrays"] - crops for x in found]
    assert kept[1] < kept[0] / 3


def test_devices_that_do_not_divide_the_batch_are_refused(experiment):
    with pytest.raises(InputError, match=r"--devices 3: must divide .*batch=4"):
        estimate_step(experiment, networks.TEACHER, devices=3)
    optim = dataclasses.replace(experiment.optim, microbatches=4)
    parts = dataclasses.replace(experiment, optim=optim)
    with pytest.raises(InputError, match=r"--devices 2 times OptimC.*=4: must"):
        estimate_step(parts, networks.TEACHER, devices=2)


def test_pairs_a_second_follow_from_operations_and_peak(experiment, monkeypatch):
    out = io.StringIO()
    cost = Estimate(4, 1e9, 5 * 10**8, {"state": 1_500_000}, 2.0)
    monkeypatch.setattr(estimate, "estimate_step", lambda *_, **__: cost)
    console = Console(file=out, width=120)
    print_estimate(experiment, networks.TEACHER, console, devices=2)
    # An H100: 5 % of 989e12 is 49,450 pairs/s, and two have twice that.
    assert "2 x NVIDIA H100 SXM" in out.getvalue() and "98,900" in out.getvalue()
    assert "memory of a device, 4 pairs on each of 2 devices: 1.5 MB" in out.getvalue()


def test_the_command_says_it_of_a_configuration_without_data(capsys):
    words = "estimate demo_students --student dull=tiny --data.batch 2 --row NOKD"
    assert main(words.split()) == 0
    said = capsys.readouterr().out
    assert f"{tracker_cost(named('tiny')).parameters:,}" in said
    assert "GFLOP by XLA's count of the step" in said
    assert jax.devices()[0].device_kind in said


def test_a_field_that_there_is_not_is_refused(capsys):
    assert main(["estimate", "demo_students", "--optim.epoch", "2"]) == 2
    assert "--optim.epochs" in capsys.readouterr().err
