"""The terms of token maps on made-up maps, without any network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.arch import (
    AreaCrop,
    CentreHeadSpec,
    InputSpec,
    TokenBackboneSpec,
    TrackerSpec,
)
from dst_jax.distill import Disc, DistillConfig, Qkv, check_fit, reduce_parts
from dst_jax.distill.labels import CentreLabels
from dst_jax.errors import InputError
from dst_jax.models import CentreAnswer, Output
from tests import networks
from tests.distill.views import value, view_of
from tests.losses import reference


def tokens(*, width=6, depth=4, px=96, factor=5.0):
    """A transformer whose tokens are of 16 px."""
    crops = InputSpec(
        template_px=px // 2,
        search_px=px,
        train_search_px=px,
        area=AreaCrop(2.0, factor),
    )
    return TrackerSpec(TokenBackboneSpec(width, depth, 3), CentreHeadSpec(8), crops)


TEACHER, STUDENT = tokens(px=96), tokens(px=64)


def output(seed, *, side, batch=2, width=6):
    rng = np.random.default_rng(seed)
    taps = {}
    for kind in [f"{kind}{n}" for n in range(4) for kind in "qkv"] + ["norm"]:
        for image, cells in (("search", side), ("template", side // 2)):
            shape = batch, cells, cells, width
            taps[f"{image}/{kind}"] = rng.normal(size=shape).astype(np.float32)
    shape = batch, side, side
    answer = CentreAnswer(np.zeros(shape, "f4"), np.zeros((*shape, 4), "f4"))
    return jax.tree.map(jnp.asarray, Output(answer, taps))


def labels(box=((0.5, 0.5, 0.5, 0.5),) * 2, mask=(1.0, 1.0)):
    shown = jnp.asarray(mask, jnp.float32)
    boxes = jnp.asarray(box, jnp.float32)
    return CentreLabels(jnp.zeros((len(mask), 4, 4)), boxes, shown, shown)


def enlarged(features, side):
    """Bilinear, between centres of cells, the border going on outside."""
    features = np.asarray(features, np.float64)
    old = features.shape[1]
    at = np.clip((np.arange(side) + 0.5) * old / side - 0.5, 0.0, old - 1.0)
    low = np.minimum(at.astype(int), old - 2)
    part = at - low

    def along(values, axis):
        shape = [1, 1, 1, 1]
        shape[axis] = side
        weight = part.reshape(shape)
        first, second = (np.take(values, low + k, axis=axis) for k in (0, 1))
        return (1.0 - weight) * first + weight * second

    return along(along(features, 1), 2)


def pair(name, student, teacher):
    """The maps of both on the teacher's cells, in float64."""
    other = np.asarray(teacher.taps[f"search/{name}"], np.float64)
    return enlarged(student.taps[f"search/{name}"], other.shape[1]), other


def seen(student, teacher, **rest):
    made = {"labels": labels(), "specs": {"own": STUDENT}, "term": "disc"} | rest
    return view_of(student, teacher, **made)


SMALL, LARGE = output(0, side=4), output(1, side=6)


def test_qkv_adds_the_divergences_of_the_last_block_over_the_teachers_cells():
    expected = sum(
        reference.token_kl(*pair(name, SMALL, LARGE)).sum() / 2
        for name in ("q3", "k3", "v3")
    )
    np.testing.assert_allclose(value(Qkv(), seen(SMALL, LARGE)), expected, rtol=1e-4)


@pytest.mark.parametrize(
    "term, layers, distance, reduce",
    [
        (Qkv(layers=(0, 2)), (0, 2), reference.token_kl, np.sum),
        (Qkv(form="mse"), (3,), reference.token_mse, np.sum),
        (Qkv(reduction="mean"), (3,), reference.token_kl, np.mean),
        (
            Qkv(temperature=1.0),
            (3,),
            lambda s, t: reference.token_kl(s, t, 1.0),
            np.sum,
        ),
    ],
)
def test_qkv_follows_its_options(term, layers, distance, reduce):
    expected = 0.0
    for name in (f"{kind}{n}" for n in layers for kind in "qkv"):
        values = distance(*pair(name, SMALL, LARGE))
        expected += np.mean([reduce(one) for one in values])
    found = value(term, seen(SMALL, LARGE))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def salient_by_loops(teacher, threshold):
    return (teacher**2).mean(axis=-1) >= threshold


def test_disc_weighs_cells_by_the_teachers_mean_square():
    own, other = pair("norm", SMALL, LARGE)
    salient = salient_by_loops(other, 1.0)
    assert 0.2 < salient.mean() < 0.8
    values = np.where(salient, 0.6, 0.4) * reference.token_kl(own, other)
    term = Disc(threshold=1.0)
    found = value(term, seen(SMALL, LARGE))
    np.testing.assert_allclose(found, values.sum() / 2, rtol=1e-4)


def test_the_threshold_is_that_of_public_code_by_default():
    own, other = pair("norm", SMALL, LARGE)
    salient = salient_by_loops(other, 0.2)
    assert 0.0 < salient.mean() < 1.0
    values = np.where(salient, 0.6, 0.4) * reference.token_kl(own, other)
    found = value(Disc(), seen(SMALL, LARGE))
    np.testing.assert_allclose(found, values.sum() / 2, rtol=1e-4)


def test_disc_by_quantile_takes_a_share_of_each_map():
    own, other = pair("norm", SMALL, LARGE)
    squares = (other**2).mean(axis=-1)
    # A quarter of 36 cells.
    least = np.sort(squares.reshape(2, -1), axis=1)[:, -9]
    weights = np.where(squares >= least[:, None, None], 0.75, 0.25)
    term = Disc(saliency="quantile", share=0.25, weights=(0.75, 0.25))
    found = value(term, seen(SMALL, LARGE))
    expected = (weights * reference.token_kl(own, other)).sum() / 2
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_disc_by_box_weighs_the_cells_of_the_target():
    own, other = pair("norm", SMALL, LARGE)
    weights = np.full((2, 6, 6), 0.4)
    # Middles at 1/12, 3/12 ...: x from .5 to .8 holds two, y from 0 to .2 one.
    weights[0, 0, 3:5] = 0.6
    boxes = labels(((0.65, 0.1, 0.3, 0.2), (0.5, 0.5, 0.01, 0.01)))
    found = value(Disc(saliency="box"), seen(SMALL, LARGE, labels=boxes))
    expected = (weights * reference.token_kl(own, other)).sum() / 2
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_share_of_cells_that_stand_out_is_logged_over_what_counts():
    other = np.asarray(LARGE.taps["search/norm"], np.float64)
    half = seen(SMALL, LARGE, labels=labels(mask=(0.0, 1.0)))
    logs = Disc(threshold=1.0)(half).logs
    expected = salient_by_loops(other, 1.0)[1].mean()
    np.testing.assert_allclose(logs["disc_salient"], expected, rtol=1e-6)


@pytest.mark.parametrize("term", [Qkv(), Disc()], ids=["qkv", "disc"])
def test_padding_does_not_count(term):
    both = value(term, seen(SMALL, LARGE, labels=labels(mask=(1.0, 0.0))))
    alone = jax.tree.map(lambda leaf: leaf[:1], (SMALL, LARGE))
    one = value(term, seen(*alone, labels=labels(((0.5,) * 4,), (1.0,))))
    np.testing.assert_allclose(both, one, rtol=1e-5)


@pytest.mark.parametrize("term", [Qkv(), Disc()], ids=["qkv", "disc"])
def test_a_student_that_agrees_costs_nothing(term):
    assert abs(value(term, seen(LARGE, LARGE, specs={"own": TEACHER}))) < 1e-6


@pytest.mark.parametrize(
    "term, names",
    [
        (Qkv(), {"q3", "k3", "v3"}),
        (Qkv(layers=(1,)), {"q1", "k1", "v1"}),
        (Disc(), {"norm"}),
    ],
)
def test_the_gradient_reaches_the_students_search_maps_alone(term, names):
    def loss(student, teacher):
        return reduce_parts(term(seen(student, teacher)).parts, None)

    ours, theirs = jax.jit(jax.grad(loss, argnums=(0, 1)))(SMALL, LARGE)
    moved = {name for name, grad in ours.taps.items() if np.any(np.asarray(grad))}
    assert moved == {f"search/{name}" for name in names}
    assert not any(np.any(np.asarray(grad)) for grad in jax.tree.leaves(theirs))


def refusal(term, student, teacher):
    with pytest.raises(InputError) as refused:
        check_fit(teacher, {"small": student}, DistillConfig({"kd": term}))
    message = str(refused.value)
    assert message.startswith("student small, term kd: ") and "\n" not in message
    return message


def test_networks_of_other_resolution_fit():
    config = DistillConfig({"qkv": Qkv(), "disc": Disc()})
    assert STUDENT.input.search_px < TEACHER.input.search_px
    check_fit(TEACHER, {"small": STUDENT}, config)


@pytest.mark.parametrize("term, name", [(Qkv(), "q3"), (Disc(), "norm")])
def test_unequal_widths_are_refused(term, name):
    message = refusal(term, tokens(width=3, px=64), TEACHER)
    assert f"the student's map {name} has 3 channels, the teacher's 6" in message
    assert message.endswith(f"or {type(term).__name__}.adapter=True.")


@pytest.mark.parametrize("term", [Qkv(adapter=True), Disc(adapter=True)], ids=str)
def test_adapters_bring_the_students_width_to_the_teachers(term):
    narrow = tokens(width=3, px=64)
    check_fit(TEACHER, {"small": narrow}, DistillConfig({"kd": term}))
    params = term.init(jax.random.key(0), narrow, TEACHER, dtype=jnp.float32)
    names = {"q3", "k3", "v3"} if isinstance(term, Qkv) else {"norm"}
    assert set(params) == names
    shapes = jax.tree.map(jnp.shape, dict(params))
    assert shapes == {name: {"kernel": (3, 6), "bias": (6,)} for name in names}
    moved = {n: {**own, "bias": own["bias"] + 0.25} for n, own in params.items()}
    student, expected = output(2, side=4, width=3), 0.0
    for name, own in moved.items():
        mixed = np.asarray(student.taps[f"search/{name}"], np.float64)
        mixed = mixed @ np.asarray(own["kernel"], np.float64) + 0.25
        teacher = np.asarray(LARGE.taps[f"search/{name}"], np.float64)
        values = reference.token_kl(enlarged(mixed, 6), teacher)
        if names == {"norm"}:
            values = values * np.where(salient_by_loops(teacher, 0.2), 0.6, 0.4)
        expected += values.sum() / 2
    found = value(term, seen(student, LARGE, specs={"own": narrow}, params=moved))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_terms_without_adapters_have_no_parameters():
    assert Qkv().init(jax.random.key(0), STUDENT, TEACHER, dtype=jnp.float32) == {}


@pytest.mark.parametrize(
    "share, warns", [(0.004, True), (0.005, False), (0.6, False), (0.61, True)]
)
def test_a_share_that_says_nothing_is_remarked_on(share, warns):
    said = Disc().remark("disc", {"disc_salient": share})
    assert (said is not None) == warns
    if said is not None:
        assert said.startswith(f"{share:.1%} of the teacher's cells stand out")
        assert "--distill.disc.threshold" in said and "\n" not in said


def test_unequal_depths_are_refused_unless_blocks_are_named():
    shallow = tokens(depth=2, px=64)
    message = refusal(Qkv(), shallow, TEACHER)
    assert "has 2 blocks, the teacher 4" in message
    assert "Qkv.layers, from 0 to 1" in message
    check_fit(TEACHER, {"small": shallow}, DistillConfig({"kd": Qkv(layers=(0, 1))}))
    check_fit(TEACHER, {"small": shallow}, DistillConfig({"kd": Disc()}))


def test_a_block_that_is_not_there_is_refused():
    message = refusal(Qkv(layers=(4,)), STUDENT, TEACHER)
    assert "the map 'q4'; the student's backbone has q0, k0, v0, ..., norm" in message


@pytest.mark.parametrize("term, name", [(Qkv(), "q0"), (Disc(), "norm")])
def test_backbones_without_tokens_are_refused(term, name):
    message = refusal(term, networks.STUDENTS["dull"], networks.TEACHER)
    assert f"the map '{name}'; the student's backbone has conv1, conv2" in message


def test_unequal_fields_of_view_are_refused():
    message = refusal(Disc(), tokens(px=64, factor=4.0), TEACHER)
    assert "shows 4 times the target's size, that of the teacher 5;" in message
    assert message.endswith("give a student that shows 5 times it (AreaCrop.search).")


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Qkv(layers=(1, 1)), "name each block once"),
        (lambda: Qkv(layers=(-1,)), "counted from 0"),
        (lambda: Qkv(temperature=0.0), "temperature=0.0: must be finite and pos"),
        (lambda: Disc(share=0.0), "share=0.0: must lie above 0"),
        (lambda: Disc(threshold=-1.0), "threshold=-1.0: must be finite and at"),
        (lambda: Disc(weights=(0.6, -0.1)), "two numbers of at least 0"),
    ],
)
def test_options_out_of_range_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
