"""What many chips would do by arithmetic, and what a step really exchanges."""

import collections
import dataclasses
import pathlib
import re
import types

import jax
import pytest

from dst_jax.arch import tracker_cost
from dst_jax.command.settings import load_experiment
from dst_jax.configs import demo_students
from dst_jax.train import make_phases, on_all, over_mesh
from dst_jax.workflows.estimate import step_shapes
from dst_jax.workflows.run_parts import phase_step
from tests import networks, objectives

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "scaling.md"


@pytest.fixture(scope="module")
def scripts(script):
    names = ("scaling", "collectives")
    return types.SimpleNamespace(**{n: script(n) for n in names})


@pytest.fixture(scope="module")
def program():
    """The step of a tiny distillation on all devices, and its arguments."""
    base = demo_students.experiment()
    experiment = dataclasses.replace(
        base,
        students={"dull": networks.STUDENTS["dull"]},
        data=dataclasses.replace(base.data, batch=jax.device_count()),
        **objectives.row(objectives.TINY, "TSKD")._asdict(),
    )
    batch = jax.device_count()
    (phase,) = make_phases(experiment.optim, experiment.students, batch=batch)
    step = phase_step(experiment, networks.TEACHER, phase)
    arguments = step_shapes(experiment, networks.TEACHER, batch)
    return over_mesh(step, on_all(jax.devices()).mesh), arguments


@pytest.mark.optax
def test_each_gradient_is_added_up_once_and_what_else_is_added_up_is_small(
    scripts, program
):
    step, (state, *rest) = program
    gradients = collections.Counter(
        4 * leaf.size for leaf in jax.tree.leaves(state.params)
    )
    size = 4 * tracker_cost(networks.STUDENTS["dull"]).parameters
    assert sum(n * count for n, count in gradients.items()) == size
    traced = scripts.collectives.of_traced(step, state, *rest)
    compiled = scripts.collectives.of_compiled(
        step.lower(state, *rest).compile().as_text()
    )
    for found in (traced, compiled):
        assert not gradients - collections.Counter(found.arrays)
        # Common means and variances, forward and back, and single numbers.
        statistics = 2 * 4 * tracker_cost(networks.STUDENTS["dull"]).statistics
        assert statistics <= found.total - size < statistics + 4 * 100
    assert compiled.total <= traced.total
    assert compiled.rounds < traced.rounds


def test_a_sum_within_a_loop_counts_as_often_as_the_loop_turns(scripts):
    mesh = on_all(jax.devices()).mesh

    def looped(x):
        def turn(carry, _):
            return jax.lax.psum(carry, "data"), None

        return jax.lax.scan(turn, x, None, length=3)[0]

    whole = jax.sharding.PartitionSpec()
    mapped = jax.shard_map(
        looped, mesh=mesh, in_specs=whole, out_specs=whole, check_vma=False
    )
    # Kernels are chosen by options of the compiler, which no inner program can have.
    options = {"xla_cpu_experimental_ynn_fusion_type": ""}
    program = jax.jit(mapped, compiler_options=options)
    five = jax.ShapeDtypeStruct((5,), "float32")
    found = scripts.collectives.of_traced(program, five)
    assert found == scripts.collectives.Exchange((20, 20, 20), 3)


def test_a_ring_sends_twice_all_but_one_share_and_hops_as_often(scripts):
    ring = scripts.scaling.Dimension(8, 10e9, 1e-6)
    # 80 MB: 140 MB cross each link, 14 ms; four times 14 hops are 56 µs.
    found = scripts.scaling.ring_seconds(80_000_000, 4, (ring,))
    assert found == pytest.approx(14e-3 + 56e-6)


def test_rings_of_two_dimensions_carry_what_one_long_ring_does_in_fewer_hops(scripts):
    def ring(side, hop):
        return scripts.scaling.Dimension(side, 10e9, hop)

    seconds = scripts.scaling.ring_seconds
    long = seconds(1000, 1, (ring(64, 0.0),))
    assert seconds(1000, 1, (ring(4, 0.0), ring(16, 0.0))) == pytest.approx(long)
    hops = seconds(0, 1, (ring(8, 1.0), ring(8, 1.0)))
    assert hops == 28.0 < seconds(0, 1, (ring(64, 1.0),)) == 126.0


def test_the_rings_of_each_machine_hold_its_chips(scripts):
    for machine in scripts.scaling.MACHINES:
        for chips, rings in machine.rings.items():
            product = 1
            for ring in rings:
                product *= ring.side
            assert product == chips, machine.name


def test_the_measured_step_takes_what_was_measured(scripts):
    seconds = scripts.scaling.compute_seconds(10**9, "NVIDIA H100 SXM", 10**9)
    assert 32 / seconds == pytest.approx(1785.0)
    # A TPU v5p has .464 of the peak.
    slower = scripts.scaling.compute_seconds(10**9, "TPU v5p", 10**9)
    assert slower / seconds == pytest.approx(989 / 459)


def test_the_page_has_the_parameters_of_the_students_as_layers_count_them(scripts):
    rows = re.findall(r"^\| ([^|]+) \| [\d.,]+ \| ([\d,]+) \|", PAGE.read_text(), re.M)
    sizes = {name: int(size.replace(",", "")) for name, size in rows}
    assert set(sizes) == set(scripts.scaling.FAMILIES)
    for family, (config, _) in scripts.scaling.FAMILIES.items():
        students = load_experiment(config).students.values()
        expected = 4 * sum(tracker_cost(spec).parameters for spec in students)
        assert sizes[family] == expected


def test_tables_take_the_place_of_older_ones_and_leave_the_rest(scripts):
    page = "A\n<!-- one -->\n| old |\n| row |\n<!-- end -->\nB\n"
    found = scripts.scaling.with_tables(page, {"one": ["| new |"]})
    assert found == "A\n<!-- one -->\n| new |\n<!-- end -->\nB\n"
