"""AH, TS, KS and STR of centre heads on made-up answers, without any network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.distill import (
    DistillConfig,
    Hard,
    Response,
    Setting,
    Sharing,
    Soft,
    TaskConfig,
    check_fit,
    make_objective,
    reduce_parts,
)
from dst_jax.distill.labels import CentreLabels
from dst_jax.errors import InputError
from dst_jax.models import CentreAnswer, ModelConfig, Output, variable_shapes
from tests import networks
from tests.distill.test_centre import examples
from tests.distill.test_tokens import enlarged
from tests.distill.views import value, view_of
from tests.losses import reference

SPECS = {"own": networks.one_stream(16), "teacher": networks.one_stream(24)}


def answer(seed, side, batch=4):
    rng = np.random.default_rng(seed)
    response = rng.normal(size=(batch, side, side)).astype(np.float32)
    offsets = rng.uniform(0.1, 0.9, size=(batch, side, side, 4)).astype(np.float32)
    return CentreAnswer(jnp.asarray(response), jnp.asarray(offsets))


def labels(side, *, shown=(1.0, 1.0, 0.0, 1.0), mask=(1.0, 1.0, 1.0, 0.0)):
    rng = np.random.default_rng(9)
    heat = rng.uniform(0.0, 0.9, size=(4, side, side)).astype(np.float32)
    heat[:, 1, 2] = 1.0
    boxes = rng.uniform(0.3, 0.7, size=(4, 4)).astype(np.float32)
    mask, shown = np.float32(mask), np.float32(shown) * np.float32(mask)
    return jax.tree.map(jnp.asarray, CentreLabels(heat, boxes, shown, mask))


OWN, TEACHER = answer(3, 4), answer(8, 6)
OURS, THEIRS = labels(4), labels(6)
# Examples 0 and 1 show the target; 2 is another object, 3 is padding.
SHOWN, COUNTED = [0, 1], [0, 1, 2]


def seen(own=OWN, teacher=TEACHER, **rest):
    made = {"specs": SPECS, "all_labels": {"own": OURS, "teacher": THEIRS}} | rest
    taught = None if teacher is None else Output(teacher, {})
    return view_of(Output(own, {}), taught, labels=OURS, **made)


def best(found):
    boxes = []
    for scores, cells in zip(*map(np.float64, found), strict=True):
        row, column = np.unravel_index(scores.argmax(), scores.shape)
        x, y, w, h = cells[row, column]
        boxes.append([(column + x) / len(scores), (row + y) / len(scores), w, h])
    return np.array(boxes)


def distance(one, other, giou=2.0, corners=5.0):
    return giou * reference.giou(one, other) + corners * reference.corner_l1(one, other)


def focal():
    values = reference.focal(np.float64(OWN.response), np.float64(OURS.heat))
    return values[COUNTED].sum() / 3


@pytest.mark.parametrize("gate", ["anchor", "batch"])
@pytest.mark.parametrize("margin", [0.005, 1.0])
def test_ah_counts_a_box_until_it_beats_the_teachers_by_the_margin(gate, margin):
    truth = np.float64(OURS.box)
    own, theirs = (distance(best(one), truth)[SHOWN] for one in (OWN, TEACHER))
    behind = theirs - own < margin
    if gate == "batch":
        behind = np.full(2, theirs.mean() - own.mean() < margin)
    elif margin == 0.005:
        assert 0 < behind.sum() < 2
    found = value(Hard(margin=margin, gate=gate), seen())
    np.testing.assert_allclose(found, focal() + (behind * own).mean(), rtol=1e-5)


def divergence(student, teacher):
    p, t = (1.0 / (1.0 + np.exp(-np.float64(x))) for x in (student, teacher))
    return p * np.log(p / t) + (1.0 - p) * np.log((1.0 - p) / (1.0 - t))


def divergences():
    """Of every cell of the teacher."""
    resized = enlarged(np.asarray(OWN.response)[..., None], 6)[..., 0]
    return divergence(resized, TEACHER.response)


@pytest.mark.parametrize(
    "term, boxes",
    [(Soft(), SHOWN), (Soft(anchors="all"), COUNTED)],
    ids=["shown", "all"],
)
def test_ts_compares_scores_on_the_teachers_cells_and_the_best_boxes(term, boxes):
    apart = distance(best(OWN), best(TEACHER))[boxes].mean()
    expected = divergences()[COUNTED].sum() / 3 + apart
    np.testing.assert_allclose(value(term, seen()), expected, rtol=1e-5)


def test_ts_weighs_cells_as_its_reduction_says():
    apart = distance(best(OWN), best(TEACHER))[SHOWN].mean()
    cells = divergences()[COUNTED]
    mean = value(Soft(reduction="mean"), seen())
    np.testing.assert_allclose(mean, cells.mean() + apart, rtol=1e-5)
    centre = np.zeros((3, 6, 6), bool)
    centre[:, 1, 2] = True
    halves = 0.5 * cells[centre].mean() + 0.5 * cells[~centre].mean()
    balanced = value(Soft(reduction="balanced"), seen())
    np.testing.assert_allclose(balanced, halves + apart, rtol=1e-5)


def test_the_factors_of_boxes_are_those_of_the_task():
    task = TaskConfig(giou_weight=0.5, corner_weight=3.0)
    apart = distance(best(OWN), best(TEACHER), 0.5, 3.0)[SHOWN].mean()
    expected = divergences()[COUNTED].sum() / 3 + apart
    np.testing.assert_allclose(value(Soft(), seen(task=task)), expected, rtol=1e-5)


PEER = answer(2, 4)


def shared(**options):
    """A student that learns from one peer that is larger."""
    losses = dict.fromkeys(("own", "teacher", "peer"), jnp.zeros(()))
    return Sharing(**options), {
        "peers": {"peer": Output(PEER, {})},
        "task_losses": losses,
        "sizes": {"own": 1, "peer": 2},
        "specs": {**SPECS, "peer": SPECS["own"]},
    }


def test_ks_compares_cells_and_best_boxes_of_peers():
    cells = divergence(OWN.response, PEER.response)[COUNTED]
    apart = distance(best(OWN), best(PEER))
    for options, expected in (
        ({}, cells.mean() + apart[COUNTED].mean()),
        ({"anchors": "positive"}, cells.mean() + apart[SHOWN].mean()),
        ({"reduction": "sum"}, cells.sum() / 3 + apart[COUNTED].mean()),
    ):
        term, rest = shared(**options)
        np.testing.assert_allclose(value(term, seen(**rest)), expected, rtol=1e-5)


@pytest.mark.parametrize("stops", [True, False])
def test_ks_moves_the_peer_only_if_told_so(stops):
    term, rest = shared(stop_peer=stops)

    def loss(own, peer):
        rest["peers"] = {"peer": Output(peer, {})}
        return reduce_parts(term(seen(own, **rest)).parts, None)

    ours, theirs = jax.jit(jax.grad(loss, argnums=(0, 1)))(OWN, PEER)
    assert all(np.any(np.asarray(leaf)) for leaf in ours)
    assert all(np.any(np.asarray(leaf)) != stops for leaf in theirs)
    if not stops:
        # A step of either box towards the other shortens the way alike.
        np.testing.assert_allclose(
            loss(OWN, PEER), value(shared()[0], seen(**rest)), rtol=1e-6
        )


def maps(seed, side):
    rng = np.random.default_rng(seed)
    taps = {
        f"{image}/norm": jnp.asarray(rng.normal(size=(4, n, n, 12)), jnp.float32)
        for image, n in (("search", side), ("template", side // 2))
    }
    return Output(answer(seed, side), taps)


def test_str_resizes_the_students_maps_to_the_teachers():
    own, teacher = maps(0, 4), maps(1, 6)
    larger = {
        "search/norm": enlarged(own.taps["search/norm"], 6),
        "template/norm": enlarged(own.taps["template/norm"], 3),
    }
    whole = own._replace(taps=jax.tree.map(jnp.float32, larger))
    term = Response(layers=("norm",), resize=True)
    found, expected = (
        value(term, view_of(one, teacher, labels=OURS, specs=SPECS))
        for one in (own, whole)
    )
    assert found > 0.0
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def refusal(teacher, students, term):
    with pytest.raises(InputError) as refused:
        check_fit(teacher, students, DistillConfig({"kd": term}))
    message = str(refused.value)
    assert "\n" not in message and "term kd: " in message
    return message


def test_sharing_is_refused_across_grids():
    message = refusal(
        networks.ONE_STREAM_TEACHER, networks.ONE_STREAM_STUDENTS, Sharing()
    )
    assert "4 cells of 4 px in a search image of 16 px, intelligent on 6" in message
    assert "crops must be of one size" in message


@pytest.mark.parametrize("term", [Hard(), Soft()], ids=["ah", "ts"])
def test_answers_of_other_fields_of_view_are_not_compared(term):
    narrow = networks.one_stream(16, factor=4.0)
    message = refusal(networks.ONE_STREAM_TEACHER, {"small": narrow}, term)
    assert "shows 4 times the target's size, that of the teacher 5;" in message


def test_str_is_refused_across_grids_unless_it_resizes():
    students = networks.ONE_STREAM_STUDENTS
    term = Response(layers=("norm",))
    message = refusal(networks.ONE_STREAM_TEACHER, students, term)
    assert "or give resize=True" in message


@pytest.mark.parametrize(
    "term, loops", [(Soft(), 2), (Response(layers=("q0", "q1")), 0)], ids=["ts", "str"]
)
def test_blocks_that_no_term_reads_are_computed_in_a_loop(term, loops):
    """In the teacher and in the student, if blocks may share a program at all."""
    spec = networks.one_stream(16)
    setting = Setting(DistillConfig({"kd": term}), model=ModelConfig(scan_blocks=True))
    objective = make_objective(spec, {"own": spec}, setting)
    shapes = variable_shapes(spec)
    batch = examples(np.full((1, 4), 8.0), px=16)
    program = jax.make_jaxpr(objective)(
        {"own": shapes["params"]},
        {"own": shapes["batch_stats"]},
        shapes,
        batch,
        epoch=jnp.zeros(()),
        key=jax.random.key(0),
    )
    assert str(program).count("scan[") == loops
