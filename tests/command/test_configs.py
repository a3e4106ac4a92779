"""What the packaged configurations take from sections 5.1 and 5.5 of the paper."""

import dataclasses
import pathlib
import re

import jax.numpy as jnp
import pytest

from dst_jax.arch import named
from dst_jax.command.main import main
from dst_jax.command.settings import load_experiment, override, packaged
from dst_jax.distill import check_fit, literal, with_row
from dst_jax.errors import InputError
from dst_jax.ops.augment import patch_sides
from dst_jax.train import make_optimizer, make_phases
from dst_jax.workflows import demo
from dst_jax.workflows.ablation import dlf as dlf_rows
from dst_jax.workflows.rate_rule import rate_rule

NO_RATES = [("siamrpn", None), ("siamdw", None)]
FOUR_SETS = ["vid", "ytbb", "coco", "det"]


def layouts(experiment):
    return [source.partition(":")[0] for source in experiment.data.sources]


@pytest.mark.parametrize(
    ("name", "sets"),
    [
        ("siamfc_teacher", ["vid"]),
        ("siamfc_search", ["vid"]),
        ("siamfc_dst", ["vid"]),
        ("siamfc_teacher_255", ["vid"]),
        ("siamfc_dst_255", ["vid"]),
        ("siamrpn_teacher", FOUR_SETS),
        ("siamrpn_search", FOUR_SETS),
        ("siamrpn_dst", FOUR_SETS),
        ("siamrpnpp_teacher", FOUR_SETS),
        ("siamrpnpp_dst", FOUR_SETS),
        ("siamdw_teacher", ["vid"]),
        ("dlf", ["vid"]),
        ("siamdw_rpn_teacher", ["ytbb", "vid", "coco", "det"]),
        ("ostrack_teacher", ["lasot", "got10k", "coco", "trackingnet"]),
        ("loretrack", ["lasot", "got10k", "coco", "trackingnet"]),
    ],
)
def test_a_family_trains_on_the_data_sets_of_the_paper(name, sets):
    assert layouts(load_experiment(name)) == sets


@pytest.mark.parametrize(
    "name", ["siamfc_dst", "siamfc_dst_255", "siamrpn_dst", "siamrpnpp_dst"]
)
def test_the_configurations_of_the_paper_are_the_literal_row(name):
    distill = load_experiment(name).distill
    assert distill == literal(distill) == with_row(distill, "literal")


def test_students_of_siamrpn_see_a_set_of_two_million_pairs_50_times():
    distilled = load_experiment("siamrpn_dst")
    assert distilled.optim.pairs_per_epoch == 2_000_000
    assert distilled.distill.warmup_epochs == distilled.optim.hold_epochs == 10.0
    assert distilled.optim.epochs - distilled.distill.warmup_epochs == 50.0
    rates = distilled.optim.learning_rate, distilled.optim.final_learning_rate
    assert rates == (1e-2, 1e-4)


def test_the_search_has_50_steps_of_3_candidates_of_10_epochs():
    for name in ("siamfc_search", "siamrpn_search"):
        found = load_experiment(name).search
        assert (found.steps, found.candidates) == (50, 3)
        assert (found.pairs, found.epochs) == (10_000, 10.0)


@pytest.mark.parametrize(("family", "rates"), [("siamfc", {"NOKD": 0.3}), *NO_RATES])
def test_a_demonstration_takes_the_rates_of_its_rows(
    family, rates, tmp_path, monkeypatch
):
    given = []
    monkeypatch.setattr(demo, "run_demo", lambda *made, **how: given.append(how))
    main(["demo", "--family", family, "--workdir", str(tmp_path / "demo")])
    assert given[0]["rates"] == rates


def test_crops_of_255_px_need_a_teacher_of_255_px():
    students = load_experiment("siamfc_dst_255")
    teacher = load_experiment("siamfc_teacher_255").students["teacher"]
    assert {s.input.train_search_px for s in students.students.values()} == {255}
    assert teacher.grid(255).side == 17
    check_fit(teacher, students.students, students.distill)
    with pytest.raises(InputError, match="in a search image of 255 px, the teacher"):
        check_fit(named("siamfc-alexnet"), students.students, students.distill)


PUBLIC = ["siamrpnpp_teacher", "siamrpnpp_dst"]


@pytest.mark.parametrize("name", PUBLIC)
def test_siamrpnpp_sees_the_pairs_of_the_public_recipe(name):
    found = load_experiment(name)
    data, augment = found.data, found.augment
    assert (data.max_gaps, data.batch) == ((100, 3, 1, 1), 28)
    assert (data.negative_share, data.negatives_from) == (0.2, "sources")
    assert (augment.template_shift_px, augment.stretch) == (4.0, 0.05)
    assert (augment.search_shift_px, augment.search_stretch) == (64.0, 0.18)
    assert (augment.blur, augment.colour) == (0.2, 1.0)
    assert augment.scale == augment.grey == augment.flip == augment.brightness == 0.0
    assert augment.scale_of == "window"
    # 1.18 * 255 + 2 * 64 = 428.9 px: the widest window leaves no patch of 511 px.
    (input,) = {student.input for student in found.students.values()}
    assert patch_sides(input, augment) == (143, 429)


@pytest.mark.parametrize("name", PUBLIC)
def test_siamrpnpp_learns_at_the_rates_of_the_public_recipe(name):
    optim = load_experiment(name).optim
    assert (optim.epochs, optim.pairs_per_epoch) == (20.0, 600_000)
    assert (optim.method, optim.momentum, optim.weight_decay) == ("sgd", 0.9, 1e-4)
    assert (optim.clip_norm, optim.skip_above) == (10.0, 1e4)
    plain = dataclasses.replace(optim, momentum=0.0, weight_decay=0.0, clip_norm=None)
    tx = make_optimizer(plain, total_steps=20)  # a step an epoch
    state, rates = tx.init(jnp.ones(())), []
    for _ in range(20):
        update, state = tx.update(jnp.ones(()), state, jnp.ones(()))
        rates.append(-float(update))
    rise = [0.001, 0.00138, 0.0019, 0.00263, 0.00362]
    assert rates[:5] == pytest.approx(rise, rel=3e-3)
    assert rates[5:8] == pytest.approx([0.005, 0.00424, 0.0036], rel=2e-3)
    assert rates[-1] == pytest.approx(0.0005)


@pytest.mark.parametrize("name", PUBLIC)
def test_siamrpnpp_thaws_three_stages_in_epoch_10_at_a_tenth_of_the_rate(name):
    found = load_experiment(name)
    # The smallest network with stages of these names.
    students = dict.fromkeys(found.students, named("tiny-siamrpnpp"))
    first, second = make_phases(found.optim, students, batch=28)
    whole = {"conv1", "layer1", "layer2", "layer3", "layer4"}
    late = ("backbone/layer2", "backbone/layer3", "backbone/layer4")
    still = ("backbone/conv1", "backbone/layer1")
    assert (first.first, second.first) == (0, 10 * (600_000 // 28))
    for student in found.students:
        assert {path.split("/")[1] for path in first.frozen[student]} == whole
        assert set(second.frozen[student]) == set(still)
        rates = {path: 0.1 for path in late} | {path: 0.0 for path in still}
        assert second.rates[student] == rates
    assert set(second.thawed) == set(found.students)
    assert found.optim.on_thaw == "reset"


def test_siamrpnpp_has_the_networks_losses_and_tracking_of_section_5_5():
    students, teacher = load_experiment("siamrpnpp_dst"), load_experiment(PUBLIC[0])
    assert students.students == {n: named(f"siamrpnpp-{n}") for n in ("r50", "r18")}
    assert teacher.students == {"teacher": named("siamrpnpp-big")}
    check_fit(teacher.students["teacher"], students.students, students.distill)
    for found in (students, teacher):
        task = found.task
        assert (task.regression_weight, task.regression_beta) == (1.2, 0.0)
        assert (task.classification, task.regression_over) == ("balanced", "batch")
        assert found.model.batch_norm == "image"
        tracking = found.tracking
        penalty, influence = tracking.penalty_k, tracking.window_influence
        assert (penalty, influence, tracking.size_rate) == (0.05, 0.42, 0.38)
        assert tracking.small_search_cells == 0
    assert list(teacher.distill.active) == ["gt"]
    terms = students.distill.terms
    assert {name: term.weight for name, term in terms.items()} == {
        **{"ah": 0.1, "ts": 1.0, "str": 100.0, "ks": 1.0}
    }
    assert terms["str"].layers == ("layer2", "layer3", "layer4")
    assert students.distill.warmup_epochs == 0.0


def test_the_page_of_the_papers_names_configurations_that_are_there():
    page = (pathlib.Path(__file__).parents[2] / "docs" / "papers.md").read_text()
    named_there = set(re.findall(r"`(?:dst-jax \w+ )?(siam(?:fc|rpn|rpnpp)_\w+)", page))
    assert len(named_there) == 10
    assert named_there <= set(packaged())


def rates_by_epoch(optim):
    """The learning rate of every epoch, from what it does to one weight."""
    plain = dataclasses.replace(optim, momentum=0.0, weight_decay=0.0, clip_norm=None)
    epochs = round(optim.epochs)
    tx = make_optimizer(plain, total_steps=epochs)  # a step an epoch
    state, rates = tx.init(jnp.ones(())), []
    for _ in range(epochs):
        update, state = tx.update(jnp.ones(()), state, jnp.ones(()))
        rates.append(-float(update))
    return rates


def test_siamdw_sees_30_million_pairs_at_its_public_rates():
    for name in ("siamdw_teacher", "dlf"):
        found = load_experiment(name)
        optim = found.optim
        assert optim.epochs * optim.pairs_per_epoch == 30_000_000
        assert (optim.momentum, optim.weight_decay, optim.clip_norm) == (0.9, 1e-4, 10)
        assert (found.data.batch, found.data.max_gap) == (64, 100)
        rates = rates_by_epoch(optim)
        # Log-spaced over 50 epochs: a factor of 10 ** (-3 / 49) from one to the next.
        assert rates == pytest.approx([1e-2 * 10 ** (-3 * n / 49) for n in range(50)])
        assert optim.rate_per == "epoch"


def test_siamdw_thaws_block_by_block_and_never_its_stem():
    found = load_experiment("siamdw_teacher")
    total = found.optim.total_steps(64)
    phases = make_phases(found.optim, found.students, batch=64)
    blocks = [f"backbone/layer2/block{n}" for n in (1, 2, 3, 4)]
    blocks = [*(f"backbone/layer1/block{n}" for n in (1, 2, 3)), *blocks]
    for phase, (share, count) in zip(
        phases,
        ((0.0, 1), (0.1, 2), (0.2, 3), (0.3, 4), (0.5, 5), (0.6, 6), (0.7, 7)),
        strict=True,
    ):
        assert phase.first == round(share * total)
        frozen = {*blocks[: 7 - count], "backbone/conv1"}
        assert set(phase.frozen["teacher"]) == frozen
    assert load_experiment("dlf").optim.parts == ()


def test_siamdw_rpn_learns_by_its_own_public_recipe():
    found, base = (
        load_experiment("siamdw_rpn_teacher"),
        load_experiment("siamdw_teacher"),
    )
    assert found.students == {"teacher": named("siamdw-rpn")}
    # Plain L1, as much as the classification; 16 positives of 64 anchors.
    assert found.task.regression_beta == 0.0
    assert found.task.regression_weight == 1.0
    rules = found.labels.assign
    assert (rules.positives, rules.total) == (16, 64)
    assert (rules.positive_iou, rules.negative_iou) == (0.6, 0.3)
    assert found.augment == dataclasses.replace(base.augment, blur=0.2)
    optim = found.optim
    assert (optim.early_weight_decay, optim.weight_decay) == (5e-4, 1e-4)
    phases = make_phases(optim, found.students, batch=found.data.batch)
    assert [phase.decays.get("teacher", 1.0) for phase in phases] == (
        pytest.approx([5.0] + 6 * [1.0])
    )
    assert phases[1].first == round(0.1 * optim.total_steps(found.data.batch))


@pytest.mark.parametrize("word", ["None", "none"])
def test_the_early_decay_of_siamdw_rpn_can_be_left_out(word):
    base = load_experiment("siamdw_rpn_teacher")
    words = ["--optim.early-weight-decay", word]
    assert override(base, words) == dataclasses.replace(
        base, optim=dataclasses.replace(base.optim, early_weight_decay=None)
    )


def test_siamdws_crops_move_and_stretch_as_in_public_code():
    for name in ("siamdw_teacher", "dlf"):
        found = load_experiment(name)
        augment = found.augment
        shifts = augment.template_shift_px, augment.search_shift_px
        assert (*shifts, augment.stretch, augment.jitter) == (4.0, 4.0, 0.05, 0.05)
        assert (augment.blur, augment.grey, augment.flip) == (0.0, 0.0, 0.0)
        assert (found.labels.label_centre, found.labels.radius_px) == ("target", 16.0)
        for spec in found.students.values():
            assert spec.input.train_search_px == 255
            assert spec.head.scale == 0.1 and not spec.head.bias


def test_dlfs_rows_can_all_be_chosen_from_its_configuration():
    found, teacher = load_experiment("dlf"), named("siamdw")
    rows = ("NOKD", "gt+point", "gt+pair", "gt+point+pair", "TSsKD")
    for row in (*rows, "ah+ts+str+ks+point+pair"):
        chosen = with_row(found.distill, row)
        check_fit(teacher, found.students, chosen)
        if "+" in row:
            assert set(chosen.terms) == set(row.split("+"))
    check_fit(teacher, found.students, found.distill)


def test_dlfs_table_in_miniature_has_its_rows_and_gates_that_can_open():
    found = load_experiment("ablation_mini_siamdw")
    assert found.students == {n: named(f"mini-siamdw-{n}") for n in ("l", "s")}
    rows = [dlf_rows.ROWS[row] for row in dlf_rows.ROWS]
    for row in rows:
        check_fit(named("mini-siamdw"), found.students, with_row(found.distill, row))
    terms = found.distill.terms
    assert (terms["point"].weight, terms["pair"].weight) == (1.0, 1.0)
    # A margin of the plain gates, .005, opens none in a run as short.
    assert terms["ks"].margin >= 0.1 and terms["ks"].gate_over == "example"
    assert terms["str"].layers == ("layer1", "layer2")
    # Half of the demonstration's pairs.
    demo = load_experiment("demo_siamdw_students")
    assert demo.optim == dataclasses.replace(found.optim, epochs=4.0)
    assert found.distill == demo.distill


def test_ostrack_learns_by_its_public_recipe():
    for name in ("ostrack_teacher", "loretrack"):
        found = load_experiment(name)
        optim, data = found.optim, found.data
        # 300 epochs of 60,000 pairs in 468 steps of 128.
        assert optim.steps_per_epoch(data.batch) == 468
        assert optim.total_steps(data.batch) == 300 * 468
        tx = make_optimizer(optim, total_steps=300 * 468)
        assert (optim.method, optim.weight_decay, optim.clip_norm) == (
            "adamw",
            1e-4,
            0.1,
        )
        assert optim.decay_norms and tx is not None
        assert (optim.learning_rate, optim.hold_epochs, optim.fall) == (
            4e-4,
            240.0,
            "step",
        )
        assert optim.final_learning_rate == pytest.approx(0.1 * optim.learning_rate)
        (phase,) = make_phases(optim, found.students, batch=data.batch)
        assert all(own == {"backbone": 0.1} for own in phase.rates.values())
        assert (data.max_gap, data.order, set(data.weights)) == (199, "causal", {1.0})
        assert (data.windows.scale, data.windows.shift) == (0.5, 4.5)
        augment = found.augment
        assert (augment.flip, augment.flip_each) == (0.5, 0.5)
        assert (augment.grey, augment.brightness) == (0.05, 0.2)
        assert (augment.stretch, augment.search_shift_px) == (0.0, 0.0)


def test_loretracks_students_are_the_teacher_at_four_sizes():
    found, teacher = load_experiment("loretrack"), named("ostrack-384")
    assert load_experiment("ostrack_teacher").students == {"teacher": teacher}
    sides = [spec.input.search_px for spec in found.students.values()]
    assert sides == [256, 192, 128, 96]
    for spec in found.students.values():
        assert spec.backbone == teacher.backbone and spec.input.area.search == 5.0
    assert {n: t.weight for n, t in found.distill.terms.items()} == {
        "gt": 1.0,
        "qkv": 0.01,
        "disc": 0.01,
    }
    disc = found.distill.terms["disc"]
    assert (disc.threshold, disc.weights, disc.temperature) == (0.2, (0.6, 0.4), 4.0)
    for row in ("NOKD", "gt+qkv", "gt+disc", "gt+qkv+disc"):
        check_fit(teacher, found.students, with_row(found.distill, row))


def test_another_batch_is_told_the_public_rule_of_rates():
    found = load_experiment("loretrack")
    assert rate_rule(found) is None
    small = dataclasses.replace(found.data, batch=32)
    said = rate_rule(dataclasses.replace(found, data=small))
    assert said == (
        "OSTrack's public rate, 0.0004 and at last 4e-05, is for 128 pairs a step; in "
        "proportion, 32 pairs have 0.0001 and at last 1e-05, and this run has 0.0004 "
        "and at last 4e-05 (--optim.learning-rate, --optim.final-learning-rate)."
    )
    assert rate_rule(load_experiment("siamdw_teacher")) is None
