"""What the packaged configurations take from section 5.1 of the paper."""

import pathlib
import re

import pytest

from dst_jax.arch import named
from dst_jax.command.settings import load_experiment, packaged
from dst_jax.distill import check_fit, literal, with_row
from dst_jax.errors import InputError

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
    ],
)
def test_a_family_trains_on_the_data_sets_of_the_paper(name, sets):
    assert layouts(load_experiment(name)) == sets


@pytest.mark.parametrize("name", ["siamfc_dst", "siamfc_dst_255", "siamrpn_dst"])
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


def test_crops_of_255_px_need_a_teacher_of_255_px():
    students = load_experiment("siamfc_dst_255")
    teacher = load_experiment("siamfc_teacher_255").students["teacher"]
    assert {s.input.train_search_px for s in students.students.values()} == {255}
    assert teacher.grid(255).side == 17
    check_fit(teacher, students.students, students.distill)
    with pytest.raises(InputError, match="in a search image of 255 px, the teacher"):
        check_fit(named("siamfc-alexnet"), students.students, students.distill)


def test_the_page_of_the_papers_names_configurations_that_are_there():
    page = (pathlib.Path(__file__).parents[2] / "docs" / "papers.md").read_text()
    named_there = set(re.findall(r"`(?:dst-jax \w+ )?(siam(?:fc|rpn)_\w+)", page))
    assert len(named_there) == 8
    assert named_there <= set(packaged())
