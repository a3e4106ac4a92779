"""Frozen parts, rates by part, phases, and steps that are left out."""

import dataclasses
import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.interpreters.partial_eval import dce_jaxpr

from dst_jax.distill import make_objective
from dst_jax.errors import InputError
from dst_jax.models.parts import lies_in
from dst_jax.ops.augment import augment
from dst_jax.train import (
    Checkpoints,
    Constants,
    Deadline,
    Later,
    LoopConfig,
    OptimConfig,
    Phase,
    Run,
    Snapshot,
    first_best,
    fit,
    forget_momentum,
    make_optimizer,
    make_phases,
)
from dst_jax.train.phases import update
from dst_jax.train.step import StepMetrics
from dst_jax.train.window import Window
from tests import networks, objectives
from tests.train import setting

pytestmark = pytest.mark.optax

STUDENTS = {"dull": setting.STUDENTS["dull"]}
PLAIN = objectives.row(setting.CONFIG, "NOKD")
# Ten steps an epoch: conv1 never learns, conv2 from step 2 on at a tenth of the rate.
OPTIM = OptimConfig(
    epochs=1.0,
    pairs_per_epoch=40,
    momentum=0.9,
    weight_decay=0.1,
    parts=(("conv1", 0.0, 0.0), ("dull:backbone/conv2", 0.1, 0.2)),
)
PHASES = make_phases(OPTIM, STUDENTS, batch=4)


def made(phase, **kinds):
    return setting.make_step(
        STUDENTS,
        config=PLAIN,
        teacher=setting.TEACHER,
        optim=OPTIM,
        phase=phase,
        **kinds,
    )


@pytest.fixture(scope="module")
def steps():
    """The compiled steps of both phases."""
    with jax.numpy_dtype_promotion("standard"):
        return [made(phase) for phase in PHASES]


def fresh(**kinds):
    return setting.fresh_state(STUDENTS, optim=OPTIM, **kinds)


def host(tree):
    return jax.tree.map(np.array, jax.device_get(tree))


def stages(tree, *names):
    """The stages of a state's parameters, statistics and momentum."""
    found = {"params": tree.params, "stats": tree.batch_stats}
    found["momentum"] = {"dull": optax.tree.get(tree.opt_state["dull"], "trace")}
    return {
        kind: {name: own["dull"]["backbone"].get(name, {}) for name in names}
        for kind, own in found.items()
    }


def assert_same(one, two):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True)
    for a, b in pairs:
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def take(state, steps, first, last):
    """Steps `first` to `last`, all of them of one phase; the state goes to the host."""
    state, found = setting.take_steps(steps, state, last - first, start=first)
    return host(state), found


def test_phases_follow_from_parts_and_epochs():
    first, second = PHASES
    assert (first.first, first.frozen) == (0, {"dull": ("conv1", "backbone/conv2")})
    assert (second.first, second.frozen) == (2, {"dull": ("conv1",)})
    assert second.rates == {"dull": {"conv1": 0.0, "backbone/conv2": 0.1}}
    assert (first.thawed, second.thawed) == ((), ("dull",))


def test_a_part_of_all_students_or_of_one():
    parts = (("conv1", 0.0, 0.0), ("intelligent:conv3", 0.5, 0.5))
    config = OptimConfig(epochs=2.0, pairs_per_epoch=40, parts=parts)
    early, late = make_phases(config, setting.STUDENTS, batch=4)
    assert early.frozen == {"dull": ("conv1",), "intelligent": ("conv1", "conv3")}
    assert late.first == 5 and late.thawed == ("intelligent",)
    assert make_phases(OptimConfig(), setting.STUDENTS, batch=4)[0].frozen == {}


def test_what_never_learns_does_not_thaw_at_its_epoch():
    parts = (("dull:conv1", 0.0, 0.5), ("intelligent:conv3", 0.5, 0.5))
    config = OptimConfig(epochs=2.0, pairs_per_epoch=40, parts=parts)
    _, late = make_phases(config, setting.STUDENTS, batch=4)
    assert late.thawed == ("intelligent",)


def decayed(optim, phase):
    """The momentum after one step with the gradient 0: what the decay adds."""
    tx = make_optimizer(optim, total_steps=10)
    params = {"backbone": {"conv2": jnp.full((), 2.0), "conv3": jnp.full((), 4.0)}}
    start = tx.init(params), params
    state, _ = update(tx, phase, "dull", jax.tree.map(jnp.zeros_like, params), start)
    return jax.tree.map(float, optax.tree.get(state, "trace"))["backbone"]


def test_until_the_first_thaw_of_a_network_its_weights_decay_otherwise():
    parts = (("conv1", 0.0, 0.0), ("dull:conv2", 1.0, 0.2), ("dull:conv3", 1.0, 0.5))
    optim = dataclasses.replace(OPTIM, parts=parts, early_weight_decay=0.5)
    phases = make_phases(optim, setting.STUDENTS, batch=4)
    # The other network never thaws, and has the decay of all.
    assert [dict(phase.decays) for phase in phases] == [{"dull": 5.0}, {}, {}]
    early, late = phases[0]._replace(frozen={}), phases[1]._replace(frozen={})
    assert decayed(optim, early) == pytest.approx({"conv2": 1.0, "conv3": 2.0})
    assert decayed(optim, late) == pytest.approx({"conv2": 0.2, "conv3": 0.4})
    # What is frozen gathers none.
    assert decayed(optim, phases[1])["conv3"] == 0.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"early_weight_decay": 0.0}, "early_weight_decay=0.0: must be positive"),
        ({"early_weight_decay": 1.0, "weight_decay": 0.0}, "needs a weight_decay abov"),
        ({"early_weight_decay": 1.0, "parts": ()}, "needs parts that learn from a lat"),
    ],
)
def test_an_early_decay_that_means_nothing_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(OPTIM, **changes)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            (("layer2", 0.1, 0.0),),
            "student dull: 'layer2' names no part of the network",
        ),
        ((("conv", 0.1, 0.0),), "student dull: 'conv' names no part"),
        (
            (("big:conv1", 0.1, 0.0),),
            "big:conv1: there is no student 'big'; there are ",
        ),
        (
            (("backbone", 0.1, 0.0), ("dull:conv2", 0.0, 0.0)),
            "backbone and dull:conv2 both hold backbone/conv2/conv/bias of student d",
        ),
    ],
)
def test_parts_that_mean_nothing_or_overlap_are_one_line(parts, message):
    config = OptimConfig(parts=parts)
    with pytest.raises(InputError, match=f"OptimConfig.parts[:,] {re.escape(message)}"):
        make_phases(config, setting.STUDENTS, batch=4)


def test_a_path_belongs_to_the_part_whose_words_it_begins_with():
    path = ("backbone", "conv1", "norm", "scale")
    parts = ("backbone", "conv1", "backbone/conv1", "conv1/norm")
    assert all(lies_in(path, part) for part in parts)
    others = ("head", "conv", "conv10", "norm", "backbone/norm", "conv1/conv")
    assert not any(lies_in(path, part) for part in others)


def test_what_is_frozen_stays_to_the_last_bit_and_gathers_no_momentum(steps):
    before = host(fresh())
    # A zero with a sign must keep it.
    kernel = before.params["dull"]["backbone"]["conv1"]["conv"]["kernel"]
    kernel[0, 0, 0, 0] = -0.0
    after, metrics = take(before, steps[0], 0, 2)
    still, moving = ("conv1", "conv2"), ("conv3",)
    assert_same(stages(before, *still), stages(after, *still))
    # The last stage has no normalisation.
    for kind in ("params", "momentum"):
        changed = jax.tree.map(
            lambda a, b: (a != b).any(),
            stages(before, *moving)[kind],
            stages(after, *moving)[kind],
        )
        assert all(jax.tree.leaves(changed)), kind
    assert metrics[0].gradient_norm["dull"] > 0
    last, _ = take(after, steps[1], 2, 4)
    assert_same(stages(before, "conv1"), stages(last, "conv1"))
    thawed = stages(last, "conv2")
    assert np.any(thawed["params"]["conv2"]["conv"]["kernel"] != 0)
    for kind in ("params", "stats", "momentum"):
        pairs = zip(
            jax.tree.leaves(thawed[kind]),
            jax.tree.leaves(stages(after, "conv2")[kind]),
            strict=True,
        )
        assert any((a != b).any() for a, b in pairs), kind


def test_a_part_learns_at_its_share_of_the_rate(steps):
    """Beside a step with the same frozen part and no rates, from the same state."""
    free = made(PHASES[1]._replace(rates={}))
    start = host(fresh())
    (slow, _), (plain, _) = (take(start, one, 0, 1) for one in (steps[1], free))

    def moved(state, stage):
        old, new = (s.params["dull"]["backbone"][stage] for s in (start, state))
        return jax.tree.map(lambda a, b: np.float64(b) - a, old, new)

    assert not any(np.any(leaf) for leaf in jax.tree.leaves(moved(slow, "conv1")))
    for stage, share in (("conv2", 0.1), ("conv3", 1.0)):
        ours, theirs = moved(slow, stage), moved(plain, stage)
        assert np.abs(theirs["conv"]["kernel"]).max() > 1e-5
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_allclose(a, share * b, atol=1e-7)


def test_no_gradient_of_frozen_parts_is_computed():
    def convolutions(frozen):
        objective = make_objective(None, STUDENTS, PLAIN, frozen=frozen)
        state = fresh()
        examples = jax.eval_shape(
            lambda batch: augment(
                jax.random.key(0),
                batch,
                input=setting.TEACHER.input,
                config=setting.AUGMENT,
            ),
            setting.make_batch(0),
        )

        def gradient(params, stats, examples):
            def loss(params):
                fixed = stats, {}, examples
                kind = {"epoch": jnp.zeros(()), "key": jax.random.key(0)}
                return objective(params, *fixed, **kind)

            return jax.grad(loss, has_aux=True)(params)[0]

        shown = state.params, state.batch_stats, examples
        program = jax.make_jaxpr(gradient)(*shown).jaxpr
        # What no result needs is dropped, as the compiler does.
        needed, _ = dce_jaxpr(program, [True] * len(program.outvars))
        return str(needed).count("conv_general_dilated[")

    whole, none = convolutions({}), convolutions({"dull": ("backbone",)})
    part = convolutions({"dull": ("conv1", "conv2")})
    assert none < part < whole


def in_phases(steps, folder, *, first=0, total=6, begin=None):
    begin = begin or (lambda state: state)
    return Run(
        step=steps[0],
        constants=Constants(networks.teacher_variables()),
        batches=(setting.make_batch(i) for i in itertools.count(first)),
        validate=None,
        checkpoints=Checkpoints(folder, config_hash="abc"),
        total_steps=total,
        steps_per_epoch=10,
        batch=4,
        later=[Later(PHASES[1].first, steps[1], begin)],
    )


def reset(state):
    tx = make_optimizer(OPTIM, total_steps=100)
    return forget_momentum(state, tx, PHASES[1].thawed)


@pytest.mark.parametrize("begin", [None, reset], ids=["keep", "reset"])
@pytest.mark.parametrize("cut", [1, 2, 4])
def test_a_run_cut_before_at_or_after_a_thaw_resumes_bit_for_bit(
    steps, tmp_path, begin, cut
):
    def start():
        state = fresh()
        return Snapshot(state, first_best(state))

    loop = LoopConfig(log_every=1, checkpoint_every=1)
    whole = fit(start(), in_phases(steps, tmp_path / "w", begin=begin), loop)
    fit(start(), in_phases(steps, tmp_path / "c", total=cut, begin=begin), loop)
    again = in_phases(steps, tmp_path / "c", first=cut, begin=begin)
    restored = again.checkpoints.restore(start())
    assert int(restored.state.step) == cut
    assert_same(whole, fit(restored, again, loop))
    # The phase changed what learns: conv2 has moved.
    moved = whole.state.params["dull"]["backbone"]["conv2"]["conv"]["kernel"]
    first = fresh().params["dull"]["backbone"]["conv2"]["conv"]["kernel"]
    assert np.any(np.asarray(moved) != np.asarray(first))


def test_four_devices_take_the_steps_of_one_across_a_thaw():
    found = []
    with jax.enable_x64(True):
        kinds = {"dtype": jnp.float64}
        teacher = networks.teacher_variables(jnp.float64)
        for devices in (1, 4):
            state = fresh(**kinds)
            for phase, first, last in zip(PHASES, (0, 2), (2, 3), strict=True):
                step = made(phase, devices=devices, **kinds)
                state, _ = setting.take_steps(
                    step, state, last - first, start=first, teacher=teacher
                )
            found.append(host(state))
    one, four = (stages(state, "conv1", "conv2", "conv3") for state in found)
    assert setting.relative_difference(one, four) < 3e-10


@pytest.mark.parametrize("method", ["sgd", "adam"])
def test_forgetting_keeps_the_place_of_the_rate_alone(method):
    config = OptimConfig(
        method=method, momentum=0.9, learning_rate=1.0, final_learning_rate=0.01
    )
    tx = make_optimizer(config, total_steps=3)
    params = {"one": jnp.ones(2), "two": jnp.ones(2)}
    state = setting.fresh_state(STUDENTS)._replace(
        params=params, opt_state={name: tx.init(p) for name, p in params.items()}
    )
    for _ in range(2):
        for name, p in params.items():
            _, state.opt_state[name] = tx.update(
                jnp.full(2, 5.0), state.opt_state[name], p
            )
    found = forget_momentum(state, tx, ("two",))
    assert found.opt_state["one"] is state.opt_state["one"]
    # The third step has the last rate, and the momentum of a first step: -.01 g, or
    # Adam's -.01.
    update, _ = tx.update(jnp.full(2, 2.0), found.opt_state["two"], params["two"])
    expected = {"sgd": -0.02, "adam": -0.01}[method]
    np.testing.assert_allclose(update, expected, rtol=1e-4)


def test_a_step_above_the_limit_changes_its_number_and_the_rates_place_alone():
    state = fresh()
    before = host(state)
    step = made(PHASES[1], skip_above=1e-6)
    after, metrics = take(state, step, 0, 2)
    assert [m.globals["skipped"] for m in metrics] == [1.0, 1.0] and int(
        after.step
    ) == 2
    assert_same((before.params, before.batch_stats), (after.params, after.batch_stats))
    trace = optax.tree.get(after.opt_state["dull"], "trace")
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(trace))
    assert int(optax.tree.get(after.opt_state["dull"], "count")) == 2


def test_a_step_that_is_not_finite_is_left_out_and_others_are_as_without_a_limit(steps):
    bounded = made(PHASES[1], skip_above=1e6)
    state, metrics = take(fresh(), bounded, 0, 2)
    assert [m.globals["skipped"] for m in metrics] == [0.0, 0.0]
    plain, _ = take(fresh(), steps[1], 0, 2)
    pairs = (s.params["dull"] for s in (state, plain))
    assert setting.relative_difference(*pairs) < 1e-6
    spoilt = host(fresh())
    spoilt.params["dull"]["backbone"]["conv3"]["conv"]["bias"][:] = np.nan
    after, metrics = take(spoilt, bounded, 0, 1)
    assert metrics[0].globals["skipped"] == 1.0 and not np.isfinite(metrics[0].loss)
    assert_same(spoilt.batch_stats, after.batch_stats)
    for name in ("conv1", "conv2"):
        kernel = after.params["dull"]["backbone"][name]["conv"]["kernel"]
        assert np.isfinite(kernel).all()


def step_metrics(loss, skipped):
    loss, skipped = np.float32(loss), np.float32(skipped)
    return StepMetrics(loss, {}, {"gate/dull": loss, "skipped": skipped}, {})


def test_the_share_of_steps_left_out_is_reported_and_they_enter_no_mean():
    window = Window(4)
    for loss, skipped in ((2.0, 0), (np.nan, 1), (np.inf, 1), (4.0, 0)):
        window.add(step_metrics(loss, skipped), 0.0)
    # A checkpoint in between: what is open goes on in another process.
    later = Window(4, before=window.open())
    later.add(step_metrics(6.0, 0), 0.0)
    report = later.close()
    assert report["loss"] == report["gate/dull"] == 4.0
    assert (report["skipped"], report["steps"]) == (0.4, 5)
    later.add(step_metrics(np.nan, 1), 0.0)
    report = later.close()
    assert "loss" not in report and (report["skipped"], report["steps"]) == (1.0, 1)


@pytest.mark.parametrize(
    ("first", "taken", "begun"),
    [(0, "aabbc", [2, 4]), (2, "bbc", [2, 4]), (3, "bc", [4])],
)
def test_every_phase_takes_its_steps_and_is_begun_once(first, taken, begun):
    """From step `first` on, also where it is that of a phase."""
    seen, begins, asked = [], [], []

    class Asked(Deadline):
        def is_near(self, *parts):
            asked.append(parts[0])
            return False

    def stub(name):
        def step(state, constants, batch):
            seen.append(name)
            return state._replace(step=state.step + 1), step_metrics(1.0, 0)

        return step

    def begin(state):
        begins.append(int(state.step))
        return state

    state = fresh()._replace(step=jnp.asarray(first))
    run = Run(
        step=stub("a"),
        constants=Constants(),
        batches=itertools.repeat({}),
        validate=None,
        total_steps=5,
        steps_per_epoch=10,
        batch=4,
        deadline=Asked(60.0),
        later=[Later(2, stub("b"), begin), Later(4, stub("c"), begin)],
    )
    fit(Snapshot(state, first_best(state)), run, LoopConfig())
    assert "".join(seen) == taken and begins == begun
    # Before a phase begins the time limit must leave time to compile its step.
    expected = ["step", "first step", "step", "first step", "step"]
    assert asked == expected[first:]


def test_no_number_that_is_not_finite_reaches_what_is_frozen():
    tx = make_optimizer(OptimConfig(clip_norm=1.0, momentum=0.9), total_steps=3)
    params = {"backbone": {"conv1": jnp.ones(2)}, "head": jnp.ones(2)}
    gradient = {"backbone": {"conv1": jnp.zeros(2)}, "head": jnp.full(2, jnp.nan)}
    phase = Phase(frozen={"dull": ("conv1",)})
    _, found = update(tx, phase, "dull", gradient, (tx.init(params), params))
    assert found["backbone"]["conv1"].tolist() == [1.0, 1.0]
    assert np.isnan(found["head"]).all()
