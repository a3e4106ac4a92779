"""The whole page: what stands on it, in which order."""

import re

from dst_jax.evaluate.page import Page, page_html
from tests.evaluate.page.cases import benchmark, entry
from tests.evaluate.page.test_markup import NASTY, parsed

FOUND = benchmark(
    entry("teacher", 0.66, fps=60.0),
    entry("dull NOKD", 0.5, fps=200.0),
    entry("dull TSKD", 0.6, fps=200.0),
    attributes={"occlusion": ("a",)},
    remarks=("Scored by hand.",),
)


def page(*benchmarks, **fields):
    return Page("Trackers", benchmarks, {"commit": "0123"}, **fields)


def test_the_verdict_comes_first_then_provenance_then_numbers_then_plots():
    made = [{"tracker": "teacher", "seed": 0}, {"tracker": "dull NOKD", "seed": 0}]
    text = parsed(page_html(page(FOUND, made=made)))
    order = [
        "dull TSKD: AUC 0.605, 0.100 above NOKD, 26.3 times smaller",
        "0123",
        "Results on otb:DIR",
        "Scored by hand.",
        "Rows beside their counterparts",
        "Plots",
        "Accuracy over speed",
        "By attribute",
        "By sequence: 2 sequences",
        "How the trackers were made",
    ]
    text = text[text.rindex("Trackers") :]  # after the style sheet
    places = [text.index(words) for words in order]
    assert places == sorted(places)


def test_a_page_refers_to_nothing_outside_itself():
    html = page_html(page(FOUND))
    links = re.findall(r'(?:src|href)="(.{0,30})', html)
    assert links and all(link.startswith(("data:", "#")) for link in links)
    assert not re.search(r"<script|<link|@import", html)


def test_of_several_data_sets_each_has_its_verdict():
    other = benchmark(*FOUND.entries)
    text = parsed(page_html(page(FOUND, other)))
    assert text.count("On otb:DIR: dull TSKD: AUC 0.605") == 2
    assert text.count("Results on otb:DIR") == 2


def test_what_is_the_same_for_all_trackers_is_told_once():
    made = [
        {"tracker": "a", "made by": "dst-jax train", "weights": "01"},
        {"tracker": "b", "made by": "dst-jax train", "weights": "02"},
    ]
    text = parsed(page_html(page(FOUND, made=made)))
    assert text.count("dst-jax train") == 1 and text.count("02") >= 1


def test_trackers_may_have_any_name():
    html = page_html(page(benchmark(entry(NASTY, 0.5), entry("$x$ <b>", 0.4))))
    html.encode()
    assert "$x$ <b>" in parsed(html) and "\x1b" not in html
