"""Which sequences and trackers a page shows, and how it shows them."""

import dataclasses

import numpy as np
import pytest

from dst_jax.evaluate import plots
from dst_jax.evaluate.page import Answer, Response, Strip, pictures
from dst_jax.evaluate.page.markup import SideBySide
from tests.evaluate.page.cases import benchmark, entry
from tests.evaluate.test_difference import made

BOXES = {"a": np.full((3, 4), 5.0), "b": np.full((3, 4), 5.0)}


def drawn(name, auc=0.5, **values):
    """An entry with boxes, and scores of its sequences."""
    one = entry(name, auc)
    (network,) = one.networks
    if values:
        network = dataclasses.replace(network, score=made(**values))
    network = dataclasses.replace(network, boxes=BOXES)
    return dataclasses.replace(one, networks=(network,))


ROWS = ("NOKD", "TSKD", "TSsKD")
DULL = [drawn(f"dull {row}") for row in ROWS]


def test_the_sequences_are_the_worst_the_median_and_the_best():
    found = benchmark(drawn("mine", a=0.4, b=0.9, c=0.2, d=0.5, e=0.6))
    assert pictures.picks(found) == {"worst": "c", "median": "d", "best": "b"}


def test_of_two_sequences_both_are_shown():
    assert list(pictures.picks(benchmark(drawn("mine"))).values()) == ["a", "b"]


def test_the_boxes_are_those_of_the_teacher_and_the_smallest_student():
    wide = [drawn(f"intelligent {row}") for row in ROWS]
    found = benchmark(drawn("teacher"), *wide, *DULL, drawn("still"))
    names = [one.name for one in pictures.in_the_picture(found)]
    assert names == ["teacher", *(one.name for one in DULL)]
    assert pictures.followed(found).name == "dull TSsKD"


def test_of_many_rows_the_plain_one_and_the_last_are_drawn():
    more = [drawn(f"dull {row}") for row in ("NOKD", "TS", "GT+TS", "TSKD", "TSsKD")]
    found = benchmark(drawn("teacher"), *more)
    names = [one.name for one in pictures.in_the_picture(found)]
    assert names == ["teacher", "dull NOKD", "dull TSKD", "dull TSsKD"]


def test_of_strangers_the_best_four_are_drawn_and_the_best_is_followed():
    found = benchmark(*(drawn(f"t{n}", 0.1 * n) for n in range(1, 7)))
    assert [e.name for e in pictures.in_the_picture(found)] == ["t6", "t5", "t4", "t3"]
    assert pictures.followed(found).name == "t6"


def test_trackers_without_boxes_are_not_drawn():
    assert pictures.in_the_picture(benchmark(entry("mine", 0.5))) == []


def test_a_strip_shows_frames_with_overlaps_and_says_where_the_target_is_absent():
    box = np.array([20.0, 20.0, 10.0, 10.0])
    truth = np.stack([box, box, np.full(4, np.nan)])
    moved = np.stack([box, box + np.array([5.0, 0, 0, 0]), box])
    images = {n: np.zeros((40, 60, 3), np.uint8) for n in (1, 2)}
    strip = Strip("Deer", "worst", images, {"mine": moved}, truth, 0.25)
    found = benchmark(drawn("mine"))
    looks = plots.name_looks(["mine"])
    sections = pictures.strip_sections([strip], found, looks)
    (row,) = (one for one in sections if isinstance(one, SideBySide))
    first, second, plot = (figure.caption for figure in row.figures)
    # Half of either box is common: 50 of 150 pixels.
    assert first == "Deer, frame 1: overlap mine 0.33."
    assert second == "Deer, frame 2: the target is absent."
    assert "the worst: AUC of mine 0.250" in plot


def test_responses_have_a_row_of_pictures_for_each_kind_of_map():
    image = np.zeros((20, 20, 3), np.uint8)
    maps = {"activation": (np.eye(3), 4), "response": (np.eye(5), 2)}
    answer = Answer(image, np.array([10.0, 10, 4, 4]), maps)
    found = Response("Deer", 10, {"teacher": answer, "dull": answer})
    title, *rows = pictures.response_sections([found])
    assert title.text == "Deer, frame 10"
    assert [[f.caption for f in row.figures] for row in rows] == [
        ["teacher: activation", "dull: activation"],
        ["teacher: response", "dull: response"],
    ]


@pytest.mark.parametrize("shape", [(1, 1), (3, 3)])
def test_any_map_can_be_drawn(shape):
    image = np.zeros((20, 20, 3), np.uint8)
    figure = plots.response_over(image, np.zeros(shape), stride=4)
    assert plots.figure_to_png(figure, dpi=30).startswith(b"\x89PNG")
