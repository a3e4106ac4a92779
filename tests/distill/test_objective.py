"""The joint objective against plain NumPy, and its structure."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax import arch
from dst_jax.distill import ROWS, DistillConfig, Setting, Sharing, make_objective
from dst_jax.errors import InputError
from dst_jax.models import build, forward_train, init_variables, variable_shapes
from dst_jax.models import forward as infer
from dst_jax.ops.examples import Examples
from tests import networks, objectives
from tests.distill import reference

# linen's normalisation mixes float32 into float64.
pytestmark = pytest.mark.optax

TEACHER, STUDENTS = networks.TEACHER, networks.STUDENTS
# Not the defaults of sharing, so that a setting that is not passed on shows.
CONFIG = objectives.changed(objectives.TINY, {"ks.decay": 0.8, "ks.discount": 0.25})
WIDE = objectives.changed(CONFIG, {"ks.margin": 1e3})
LAYERS = ("conv2", "conv3")


@pytest.fixture(scope="module")
def setting():
    """Variables of all networks and a batch, in float64."""
    with jax.enable_x64(True):
        cast = {"param_dtype": jnp.float64}
        teacher = networks.teacher_variables(jnp.float64)
        students = {
            name: init_variables(jax.random.key(1 + i), spec, **cast)
            for i, (name, spec) in enumerate(STUDENTS.items())
        }
        rng = np.random.default_rng(3)
        examples = Examples(
            template=jnp.asarray(rng.uniform(0, 255, (4, 31, 31, 3))),
            search=jnp.asarray(rng.uniform(0, 255, (4, 47, 47, 3))),
            mask=jnp.ones(4, jnp.float64),
            is_negative=jnp.zeros(4, jnp.float64),
            search_box=jnp.full((4, 4), 23.5, jnp.float64),
            number=jnp.arange(4, dtype=jnp.int32),
            input=TEACHER.input,
        )
        yield teacher, students, examples


@functools.cache
def compiled(config, students):
    """The jitted objective; equal settings compile once."""
    return jax.jit(make_objective(TEACHER, dict(students), config, dtype=jnp.float64))


def evaluate(setting, config, *, epoch=0.0, students=None, **changes):
    """(loss, new statistics, metrics) of one call, in float64."""
    teacher, variables, examples = setting
    students = students or STUDENTS
    with jax.enable_x64(True):
        loss, (stats, metrics) = compiled(config, tuple(students.items()))(
            {n: variables[n]["params"] for n in students},
            {n: variables[n]["batch_stats"] for n in students},
            teacher,
            examples._replace(**changes),
            epoch=jnp.asarray(epoch, jnp.float64),
            key=jax.random.key(0),
        )
    return float(loss), stats, metrics


@pytest.fixture(scope="module")
def outputs(setting):
    """Every network's output on the batch, as NumPy."""
    teacher, students, examples = setting
    kinds = {"dtype": jnp.float64, "param_dtype": jnp.float64}
    with jax.enable_x64(True):
        images = examples.template, examples.search

        @jax.jit
        def everyone(teacher, students, images):
            found = {"teacher": infer(build(TEACHER, **kinds), teacher, *images)}
            for name, spec in STUDENTS.items():
                module = build(spec, **kinds)
                found[name], _ = forward_train(module, students[name], *images)
            return found

        return jax.tree.map(np.asarray, everyone(teacher, students, images))


@pytest.fixture(scope="module")
def labels():
    grid = np.zeros((4, 5, 5))
    grid[:, 2, 1:4] = grid[:, 1:4, 2] = 1.0  # within one cell of the centre
    return grid


def test_every_term_equals_its_equation(setting, outputs, labels):
    # The gate is wide open here, so that sharing enters too.
    config = WIDE
    loss, _, metrics = evaluate(setting, config, epoch=2.5)
    teacher = outputs["teacher"]
    expected = {}
    for name in STUDENTS:
        own = outputs[name]
        peer = outputs[{"dull": "intelligent", "intelligent": "dull"}[name]]
        beta = {"dull": 1.0, "intelligent": 0.25}[name]
        expected |= {
            f"{name}/ah": 0.1
            * reference.balanced_logistic(own.answer.response, labels),
            f"{name}/ts": reference.balanced_kl(
                own.answer.response, teacher.answer.response, labels
            ),
            f"{name}/str": 100
            * reference.target_response(own.taps, teacher.taps, LAYERS),
            f"{name}/ks": beta
            * 0.8**2.5
            * reference.bernoulli_kl(own.answer.response, peer.answer.response).mean(),
        }
    assert set(metrics.terms) == set(expected)
    for term, value in expected.items():
        np.testing.assert_allclose(metrics.terms[term], value, rtol=1e-9, err_msg=term)
    np.testing.assert_allclose(loss, sum(expected.values()), rtol=1e-9)


def test_the_objective_is_the_sum_of_its_logged_terms(setting):
    loss, _, metrics = evaluate(setting, CONFIG)
    np.testing.assert_allclose(loss, sum(metrics.terms.values()), rtol=1e-12)


def test_logged_losses_and_gates_follow_equation_22(setting, outputs, labels):
    losses = {
        name: reference.balanced_logistic(output.answer.response, labels)
        for name, output in outputs.items()
    }
    # A margin between the two students' gaps opens one gate and not the other.
    gaps = {name: losses[name] - losses["teacher"] for name in STUDENTS}
    low, high = sorted(gaps, key=lambda name: gaps[name])
    margin = float(np.mean(list(gaps.values())))
    config = objectives.changed(CONFIG, {"ks.margin": max(margin, 0.0)})
    _, _, metrics = evaluate(setting, config, epoch=3.0)
    for name, value in losses.items():
        np.testing.assert_allclose(metrics.globals[f"gt/{name}"], value, rtol=1e-9)
    for name in (low, high):
        sigma = reference.sigma(
            losses[name],
            losses["teacher"],
            3.0,
            margin=max(margin, 0.0),
            decay=0.8,
        )
        np.testing.assert_allclose(metrics.globals[f"sigma/{name}"], sigma)
        assert float(metrics.globals[f"gate/{name}"]) == (sigma > 0)


def test_the_gate_can_judge_the_peer_instead(setting):
    wide = objectives.changed(CONFIG, {"ks.gate": "peer"})
    _, _, metrics = evaluate(setting, wide)
    _, _, literal = evaluate(setting, CONFIG)
    gates = {n: float(metrics.globals[f"gate/{n}"]) for n in STUDENTS}
    if gates["dull"] == gates["intelligent"]:
        margin = split_margin(literal)
        wide = objectives.changed(wide, {"ks.margin": margin})
        _, _, metrics = evaluate(setting, wide)
        gates = {n: float(metrics.globals[f"gate/{n}"]) for n in STUDENTS}
    assert gates["dull"] != gates["intelligent"]
    assert (float(metrics.terms["dull/ks"]) > 0) == bool(gates["intelligent"])
    assert (float(metrics.terms["intelligent/ks"]) > 0) == bool(gates["dull"])


def split_margin(metrics):
    """A margin that lies between the gaps of the two students."""
    gaps = [
        float(metrics.globals[f"gt/{n}"] - metrics.globals["gt/teacher"])
        for n in STUDENTS
    ]
    assert max(gaps) > 0
    return max(sum(gaps) / 2, 0.0)


@pytest.mark.parametrize("row", ROWS)
def test_a_row_has_the_terms_of_its_table(setting, row):
    _, _, metrics = evaluate(setting, objectives.row(CONFIG, row))
    expected = {f"{s}/{term}" for s in STUDENTS for term in ROWS[row]}
    assert set(metrics.terms) == expected


def test_ground_truth_and_adaptive_hard_are_equal_for_siamfc(setting):
    gt, _, _ = evaluate(setting, objectives.row(CONFIG, "GT+TS+STR"))
    ah, _, _ = evaluate(setting, objectives.row(CONFIG, "AH+TS+STR"))
    assert gt == ah


def test_ground_truth_alone_has_weight_one(setting, outputs, labels):
    loss, _, _ = evaluate(setting, objectives.row(CONFIG, "NOKD"))
    expected = sum(
        reference.balanced_logistic(outputs[n].answer.response, labels)
        for n in STUDENTS
    )
    np.testing.assert_allclose(loss, expected, rtol=1e-9)


def test_plain_training_needs_no_teacher(setting):
    _, variables, examples = setting
    with jax.enable_x64(True):
        plain = objectives.row(CONFIG, "NOKD")
        objective = make_objective(None, STUDENTS, plain, dtype=jnp.float64)
        loss, _ = jax.jit(objective)(
            {n: v["params"] for n, v in variables.items()},
            {n: v["batch_stats"] for n, v in variables.items()},
            {},
            examples,
            epoch=jnp.zeros((), jnp.float64),
            key=jax.random.key(0),
        )
    assert float(loss) == evaluate(setting, plain)[0]


def test_a_bias_on_the_response_learns_from_every_cell(setting, outputs, labels):
    _, variables, examples = setting
    students = {"dull": arch.with_bias(STUDENTS["dull"])}
    with jax.enable_x64(True):
        objective = make_objective(
            None, students, objectives.row(CONFIG, "NOKD"), dtype=jnp.float64
        )

        @jax.jit
        def slope(bias):
            def loss(bias):
                head = {"head": {"bias": bias}}
                return objective(
                    {"dull": variables["dull"]["params"] | head},
                    {"dull": variables["dull"]["batch_stats"]},
                    {},
                    examples,
                    epoch=jnp.zeros((), jnp.float64),
                    key=jax.random.key(0),
                )[0]

            return jax.grad(loss)(bias)

        found = slope(jnp.asarray(0.5, jnp.float64))
    # Of log(1 + exp(-y (r + b))) by b, half over either kind of cell.
    p = 1.0 / (1.0 + np.exp(-outputs["dull"].answer.response - 0.5))
    expected = 0.5 * (p[labels > 0] - 1.0).mean() + 0.5 * p[labels == 0].mean()
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_masked_pairs_leave_the_rest_as_it_is(setting):
    # Statistics of the batch see all pairs, so the networks' outputs stay the same.
    _, _, full = evaluate(setting, CONFIG)
    with jax.enable_x64(True):
        mask = jnp.array([1.0, 1.0, 1.0, 0.0], jnp.float64)
    _, _, masked = evaluate(setting, CONFIG, mask=mask)
    assert set(full.terms) == set(masked.terms)
    for term, value in masked.terms.items():
        assert np.isfinite(value), term
    with jax.enable_x64(True):
        nothing = jnp.zeros(4, jnp.float64)
    loss, _, _ = evaluate(setting, CONFIG, mask=nothing)
    assert loss == 0.0


def test_mask_selects_examples(setting, outputs, labels):
    with jax.enable_x64(True):
        mask = jnp.array([1.0, 0.0, 1.0, 0.0], jnp.float64)
    _, _, metrics = evaluate(setting, CONFIG, mask=mask)
    keep = np.array([0, 2])
    own, teacher = outputs["dull"], outputs["teacher"]
    ts = reference.balanced_kl(
        own.answer.response[keep], teacher.answer.response[keep], labels[keep]
    )
    np.testing.assert_allclose(metrics.terms["dull/ts"], ts, rtol=1e-9)


def test_a_negative_pair_has_no_positive_cell(setting, outputs, labels):
    with jax.enable_x64(True):
        negative = jnp.array([0.0, 1.0, 0.0, 0.0], jnp.float64)
    _, _, metrics = evaluate(
        setting, objectives.row(CONFIG, "GT"), is_negative=negative
    )
    cells = labels.copy()
    cells[1] = 0.0
    expected = reference.balanced_logistic(outputs["dull"].answer.response, cells)
    np.testing.assert_allclose(metrics.terms["dull/gt"], expected, rtol=1e-9)


def test_order_of_the_students_does_not_matter(setting):
    swapped = dict(reversed(STUDENTS.items()))
    config = WIDE
    one, _, _ = evaluate(setting, config)
    two, _, _ = evaluate(setting, config, students=swapped)
    np.testing.assert_allclose(one, two, rtol=1e-12)


def test_without_sharing_each_student_is_on_its_own(setting):
    config = objectives.row(CONFIG, "TSKD")
    together, _, _ = evaluate(setting, config)
    alone = [evaluate(setting, config, students={n: s})[0] for n, s in STUDENTS.items()]
    np.testing.assert_allclose(together, sum(alone), rtol=1e-12)


def test_the_papers_normaliser_halves_sharing_of_two(setting):
    wide = WIDE
    _, _, ours = evaluate(setting, wide)
    paper = objectives.changed(wide, {"ks.norm": "paper"})
    _, _, theirs = evaluate(setting, paper)
    for name in STUDENTS:
        np.testing.assert_allclose(
            theirs.terms[f"{name}/ks"], 0.5 * ours.terms[f"{name}/ks"], rtol=1e-12
        )


def test_three_students_share_as_equation_33_says(setting, outputs):
    teacher, variables, examples = setting
    students = {**STUDENTS, "third": STUDENTS["dull"]}
    trio = teacher, {**variables, "third": variables["dull"]}, examples
    config = WIDE
    _, _, metrics = evaluate(trio, config, students=students)
    # Equal networks share nothing: the peers of "intelligent" both count, times 1/2.
    kl = reference.bernoulli_kl(
        outputs["intelligent"].answer.response, outputs["dull"].answer.response
    ).mean()
    expected = 0.5 * (0.25 * kl + 0.25 * kl)
    np.testing.assert_allclose(metrics.terms["intelligent/ks"], expected, rtol=1e-9)


def test_warm_up_trains_on_the_ground_truth_alone(setting):
    config = objectives.changed(WIDE, {"warmup_epochs": 2.0})
    warm, _, metrics = evaluate(setting, config, epoch=1.5)
    plain, _, _ = evaluate(setting, objectives.row(CONFIG, "NOKD"))
    np.testing.assert_allclose(warm, plain, rtol=1e-12)
    _, _, after = evaluate(setting, config, epoch=4.0)
    np.testing.assert_allclose(after.globals["sigma/dull"], 0.8**2.0)
    _, _, at_once = evaluate(setting, config, epoch=2.0)
    assert float(at_once.globals["sigma/dull"]) == 1.0
    assert float(after.terms["dull/gt"]) == 0.0
    assert float(metrics.terms["dull/ks"]) == 0.0


def test_no_gradient_reaches_the_teacher(setting):
    teacher, variables, examples = setting
    with jax.enable_x64(True):
        objective = make_objective(TEACHER, STUDENTS, CONFIG, dtype=jnp.float64)

        def loss(teacher_vars):
            return objective(
                {n: v["params"] for n, v in variables.items()},
                {n: v["batch_stats"] for n, v in variables.items()},
                teacher_vars,
                examples,
                epoch=jnp.zeros((), jnp.float64),
                key=jax.random.key(0),
            )[0]

        gradient = jax.jit(jax.grad(loss))(teacher)
    for leaf in jax.tree.leaves(gradient):
        np.testing.assert_array_equal(leaf, 0.0)


@pytest.mark.parametrize("stop", [True, False])
def test_a_peer_is_a_fixed_target_unless_told_otherwise(setting, stop):
    _, variables, _ = setting
    teacher, _, examples = setting
    config = objectives.changed(WIDE, {"ks.stop_peer": stop, "str.weight": 0.0})
    with jax.enable_x64(True):
        objective = make_objective(TEACHER, STUDENTS, config, dtype=jnp.float64)

        def shared(params):
            return objective(
                params,
                {n: v["batch_stats"] for n, v in variables.items()},
                teacher,
                examples,
                epoch=jnp.zeros((), jnp.float64),
                key=jax.random.key(0),
            )[1][1].terms["dull/ks"]

        gradient = jax.jit(jax.grad(shared))(
            {n: v["params"] for n, v in variables.items()}
        )
    moved = any(np.any(leaf) for leaf in jax.tree.leaves(gradient["intelligent"]))
    assert moved == (not stop)
    assert any(np.any(leaf) for leaf in jax.tree.leaves(gradient["dull"]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ts.weight": -1.0}, r"Soft\.weight=-1\.0"),
        ({"ts.temperature": 0.0}, r"Soft\.temperature=0\.0"),
        ({"ks.temperature": 0.0}, r"Sharing\.temperature=0\.0"),
        ({"ah.margin": float("nan")}, r"Hard\.margin=nan"),
        ({"str.layers": ()}, r"Response\.layers=\(\)"),
        ({"task.regression_beta": -1.0}, r"TaskConfig\.regression_beta=-1\.0"),
        ({"labels.radius_px": 0.0}, r"LabelConfig\.radius_px=0\.0"),
        (
            dict.fromkeys(("ts.weight", "ah.weight", "str.weight", "ks.weight"), 0.0),
            "0;",
        ),
    ],
)
def test_an_unfit_setting_is_named(change, message):
    with pytest.raises(InputError, match=message):
        objectives.changed(CONFIG, change)


def test_networks_that_do_not_fit_together_are_named():
    mini = arch.named("mini"), {"dull": arch.named("tiny")}
    with pytest.raises(
        InputError, match=r"dull, term ts: .*111 px, the teacher .* 143"
    ):
        make_objective(*mini, Setting())
    with pytest.raises(InputError, match="no teacher"):
        make_objective(None, STUDENTS, CONFIG)
    with pytest.raises(
        InputError, match=r"term str: .*layers has 6; .* has conv1, conv2, "
    ):
        layers = objectives.changed(CONFIG, {"str.layers": (6,)})
        make_objective(TEACHER, STUDENTS, layers)
    with pytest.raises(InputError, match=r"dull, term str: .*layers has layer2; the b"):
        layers = objectives.changed(CONFIG, {"str.layers": ("layer2",)})
        make_objective(TEACHER, STUDENTS, layers)
    with pytest.raises(InputError, match=r"layers=.*'conv2'\): name each"):
        layers = objectives.changed(CONFIG, {"str.layers": (2, "conv2")})
        make_objective(TEACHER, STUDENTS, layers)
    with pytest.raises(InputError, match="no student"):
        make_objective(TEACHER, {}, CONFIG)


def test_terms_that_add_nothing_are_refused():
    alone, silent = {"dull": STUDENTS["dull"]}, DistillConfig({"ks": Sharing()})
    objective = make_objective(TEACHER, alone, CONFIG._replace(distill=silent))
    examples = jax.ShapeDtypeStruct
    shapes = variable_shapes(alone["dull"])
    batch = Examples(
        examples((2, 31, 31, 3), jnp.float32),
        examples((2, 47, 47, 3), jnp.float32),
        *(examples((2,), jnp.float32),) * 2,
        examples((2, 4), jnp.float32),
        examples((2,), jnp.int32),
        TEACHER.input,
    )
    with pytest.raises(InputError, match="the terms ks add nothing for any student"):
        jax.eval_shape(
            lambda p, s, t, b: objective(
                p, s, t, b, epoch=jnp.zeros(()), key=jax.random.key(0)
            ),
            {"dull": shapes["params"]},
            {"dull": shapes["batch_stats"]},
            variable_shapes(TEACHER),
            batch,
        )


def test_a_gate_needs_a_teacher_of_the_same_kind():
    shared = CONFIG._replace(distill=DistillConfig({"ks": Sharing()}))
    with pytest.raises(InputError, match=r"dull, term ks: .* the same kind of head"):
        make_objective(networks.REGION_TEACHER, STUDENTS, shared)
    make_objective(TEACHER, STUDENTS, shared)
