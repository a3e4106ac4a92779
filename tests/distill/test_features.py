"""The terms point and pair: what they compare, refuse, learn and remark on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.arch import Chain, ConvSpec, InputSpec, TrackerSpec, with_widths
from dst_jax.distill import (
    DistillConfig,
    Pair,
    Point,
    Task,
    check_fit,
    init_adapters,
    reduce_parts,
    with_row,
)
from dst_jax.distill.labels.cells import cell_labels
from dst_jax.errors import InputError
from dst_jax.models import CellAnswer, Output
from tests import networks
from tests.distill.views import value, view_of
from tests.losses import reference

SPECS = {"own": networks.STUDENTS["dull"], "teacher": networks.TEACHER}
# Of two pairs the second does not count.
LABELS = cell_labels(jnp.zeros((5, 5)), jnp.array([1.0, 0.0]), jnp.zeros(2))


def output(seed, spec, **sides):
    """Made-up maps of a network's last two stages."""
    rng = np.random.default_rng(seed)
    taps = {
        f"{image}/conv{stage}": rng.normal(
            size=(2, side, side, spec.backbone.layers[stage - 1].features)
        ).astype(np.float32)
        for image, side in ({"template": 2, "search": 3} | sides).items()
        for stage in (2, 3)
    }
    response = np.zeros((2, 5, 5), np.float32)
    return jax.tree.map(jnp.asarray, Output(CellAnswer(response), taps))


OURS, THEIRS = output(0, SPECS["own"]), output(1, SPECS["teacher"])


def seen(term, *, ours=OURS, theirs=THEIRS):
    params = term.init(jax.random.key(2), SPECS["own"], SPECS["teacher"], dtype="f4")
    return view_of(ours, theirs, labels=LABELS, term="mine", specs=SPECS, params=params)


def first(output, tap):
    """A map of the pair that counts, in float64."""
    return np.asarray(output.taps[tap][:1], np.float64)


@pytest.mark.parametrize(
    ("options", "taps"),
    [
        ({}, ("search/conv3", "template/conv3")),
        ({"images": "search"}, ("search/conv3",)),
        ({"layers": ("conv2",), "images": "template"}, ("template/conv2",)),
        (
            {"layers": ("conv2", "conv3"), "images": "search"},
            ("search/conv2", "search/conv3"),
        ),
    ],
    ids=str,
)
def test_distances_of_the_named_maps_are_added_up(options, taps):
    pair, point = Pair(**options), Point(**options)
    wanted = [reference.pair_distance(first(OURS, t), first(THEIRS, t)) for t in taps]
    assert value(pair, seen(pair)) == pytest.approx(sum(wanted).item(), rel=1e-5)
    view = seen(point)
    wanted = 0.0
    for tap in taps:
        adapter = view.params[tap.partition("/")[2]]
        kernel, bias = (np.asarray(adapter[n], np.float64) for n in ("kernel", "bias"))
        adapted = np.tensordot(first(OURS, tap), kernel, 1) + bias
        wanted += reference.point_distance(adapted, first(THEIRS, tap)).item()
    assert value(point, view) == pytest.approx(wanted, rel=1e-5)


def test_a_map_is_resized_to_the_teachers_sides_bilinearly():
    # 2 x 2 cells over 4 x 4: centres at -1/4, 1/4, 3/4, 5/4, the outer ones held.
    ours = output(0, SPECS["own"], search=2)
    theirs = output(1, SPECS["teacher"], search=4)
    by_hand = np.array([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    grown = np.einsum("ui,vj,bijc->buvc", by_hand, by_hand, first(ours, "search/conv3"))
    wanted = reference.pair_distance(grown, first(theirs, "search/conv3")).item()
    term = Pair(images="search", resize=True)
    assert value(term, seen(term, ours=ours, theirs=theirs)) == pytest.approx(
        wanted, rel=1e-5
    )


@pytest.mark.parametrize(
    ("widths", "parameters"), [((248, 512), 127_488), ((156, 512), 80_384)]
)
def test_an_adapter_is_a_kernel_and_a_bias(widths, parameters):
    specs = [with_widths(networks.TEACHER, (2, 4, width)) for width in widths]
    params = Point().init(jax.random.key(0), *specs, dtype=jnp.float32)
    shapes = jax.tree.map(np.shape, params)
    assert shapes == {"conv3": {"kernel": widths, "bias": widths[1:]}}
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == parameters
    # It keeps the size of features: the deviation is one over the root of the inputs.
    spread = float(jnp.std(params["conv3"]["kernel"]))
    assert spread == pytest.approx(widths[0] ** -0.5, rel=0.02)


def test_adapters_do_not_depend_on_other_students_and_terms():
    key, students = jax.random.key(0), networks.STUDENTS
    all_ = DistillConfig({"point": Point(), "far": Point(), "pair": Pair()})
    one = DistillConfig({"gt": Task(), "point": Point()})
    together = init_adapters(key, networks.TEACHER, students, all_)
    alone = init_adapters(key, networks.TEACHER, {"dull": students["dull"]}, one)
    assert set(together) == {"dull", "intelligent"}
    assert set(together["dull"]) == {"point", "far"} and set(alone["dull"]) == {"point"}
    same, other = together["dull"]["point"], together["dull"]["far"]
    jax.tree.map(np.testing.assert_array_equal, alone["dull"]["point"], same)
    assert np.any(same["conv3"]["kernel"] != other["conv3"]["kernel"])
    off = DistillConfig({"gt": Task(), "point": Point(weight=0.0)})
    assert init_adapters(key, networks.TEACHER, students, off) == {}


@pytest.mark.parametrize("term", [Pair(), Point(), Point(form="l2")], ids=str)
def test_a_teacher_of_zeros_is_finite_and_remarked_on(term):
    view = seen(term, theirs=jax.tree.map(jnp.zeros_like, THEIRS))

    def loss(taps, params):
        own = view._replace(student=OURS._replace(taps=taps), params=params)
        parts = term(own)
        return reduce_parts(parts.parts, None), parts.logs

    slope = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
    (total, logs), gradients = slope(OURS.taps, view.params)
    assert np.isfinite(total) and logs["mine_zero"] == 1.0
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradients))
    line = term.remark("mine", {n: float(log) for n, log in logs.items()})
    assert line.startswith("the teacher's features are all zero in 100% of the first")
    assert "--distill.mine.layers" in line and "\n" not in line
    assert term.remark("mine", {"mine_zero": 0.0}) is None


def spec(*layers, template=31):
    return TrackerSpec(
        Chain(layers=layers), input=InputSpec(template, template + 16, template + 16)
    )


DEEP = networks.TEACHER
SHALLOW = spec(ConvSpec(4, 3, stride=2), ConvSpec(4, 3), template=31)
# One cell of the template is left.
DOT = spec(ConvSpec(4, 15, stride=4), ConvSpec(4, 5), template=31)


@pytest.mark.parametrize(
    ("term", "student", "teacher", "line"),
    [
        (Point(), SHALLOW, DEEP, "student's search map of conv2 has 21 cells of 2 px"),
        (Pair(), SHALLOW, DEEP, "name layers on a common grid, or give resize=True"),
        (
            Pair(layers=("conv3",)),
            SHALLOW,
            DEEP,
            "Pair.layers has 'conv3'; the student's backbone has conv1, conv2",
        ),
        (
            Point(layers=("conv3",)),
            DEEP,
            SHALLOW,
            "Point.layers has 'conv3'; the teacher's backbone has conv1, conv2",
        ),
        (Pair(), DOT, DOT, "the teacher's template map of conv2 has one cell"),
        (
            Pair(resize=True),
            DOT,
            DEEP,
            "the student's template map of conv2 has one cell, and so no pair of cells",
        ),
    ],
    ids=str,
)
def test_networks_that_cannot_be_compared_are_refused_in_a_line(
    term, student, teacher, line
):
    config = DistillConfig({"mine": term})
    with pytest.raises(InputError, match="student dull, term mine: ") as refusal:
        check_fit(teacher, {"dull": student}, config)
    assert line in str(refusal.value) and "\n" not in str(refusal.value)


def refused(term, student, teacher):
    try:
        check_fit(teacher, {"dull": student}, DistillConfig({"mine": term}))
    except InputError:
        return True
    return False


def test_resized_and_searched_maps_are_not_refused():
    assert refused(Point(), SHALLOW, DEEP)
    assert not refused(Point(resize=True), SHALLOW, DEEP)
    assert refused(Pair(), SHALLOW, DEEP)
    assert not refused(Pair(resize=True), SHALLOW, DEEP)
    assert refused(Pair(), DOT, DOT)
    assert not refused(Pair(images="search"), DOT, DOT)
    assert not refused(Point(), DOT, DOT)


def test_the_terms_of_dlf_are_in_rows_by_name_and_in_none_of_the_papers():
    found = with_row(DistillConfig(), "gt+point+pair").terms
    assert found == {"gt": Task(), "point": Point(), "pair": Pair()}
    own = DistillConfig().with_terms(pair=Pair(weight=3.0, layers=("conv4",)))
    assert with_row(own, "TSsKD").terms == DistillConfig().terms
    assert with_row(own, "ah+ts+pair").terms["pair"] == own.terms["pair"]


def test_a_layer_is_named_once():
    with pytest.raises(InputError, match=r"Pair.layers=.*name each layer once"):
        Pair(layers=("conv2", "conv2"))
