"""A page's HTML: it stands alone, is well formed, and escapes what it is given."""

import html.parser
import re

import pytest

from dst_jax.evaluate.page import markup

VOID = {"meta", "img", "br"}
NASTY = "[red]a[/] \x1b[2J\udcff\\"


class Balance(html.parser.HTMLParser):
    """Collects text, and complains about a tag that is closed out of turn."""

    def __init__(self):
        super().__init__()
        self.open, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        self.open += [] if tag in VOID else [tag]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def parsed(page):
    balance = Balance()
    balance.feed(page)
    assert balance.open == []
    return balance.text


def test_a_page_stands_alone_and_is_well_formed():
    page = markup.html_page(
        "Demo",
        [
            markup.Heading("One"),
            markup.Paragraph("First.\n\nSecond."),
            markup.Table([{"a": 1}], caption="c"),
            markup.Figure("<svg viewBox='0 0 1 1'></svg>", caption="plot"),
            markup.SideBySide(
                [markup.Figure("data:image/jpeg;base64,AAAA", alt="strip")]
            ),
            markup.Lead(["Good.", "Bad."]),
            markup.Facts({"commit": "0123"}),
            markup.Fold("more", [markup.Paragraph("Inside.")], opened=False),
        ],
    )
    text = parsed(page)
    assert all(word in text for word in ("First.", "Bad.", "0123", "Inside."))
    assert page.count("<p>") == 5 and "<details><summary>more<" in page
    assert not re.search(r"https?:|<script|<link|@import|url\(", page)
    for rule in ("prefers-color-scheme: dark", "max-width: 40rem", "@media print"):
        assert rule in page


def test_whatever_text_is_given_is_escaped():
    nasty = '<script>alert("&$body")</script>'
    page = markup.html_page(
        nasty,
        [
            markup.Heading(nasty),
            markup.Paragraph(nasty),
            markup.Table([{nasty: nasty}], units={nasty: nasty}, caption=nasty),
            markup.Figure("<svg></svg>", caption=nasty, alt=nasty),
            markup.Lead([nasty]),
            markup.Facts({nasty: nasty}),
            markup.Fold(nasty, []),
        ],
    )
    assert "<script" not in page
    assert parsed(page).count(nasty) == 13  # title twice; the alt text is no text


def test_a_page_with_any_name_can_be_written():
    sections = [markup.Heading(NASTY), markup.Paragraph(f"a\nb {NASTY}\n\nc")]
    page = markup.html_page(NASTY, [*sections, markup.Table([{NASTY: NASTY}])])
    assert r"\xff" in page.encode().decode() and "<p>a b [red]a" in page


def test_cells_are_formatted_by_kind_and_missing_ones_are_dashes():
    page = markup.html_page(
        "t",
        [
            markup.Table(
                [
                    {"name": "x", "parameters": 2336320, "AUC": 0.5, "speed": 12.34},
                    {"name": "y", "AUC": None, "extra": 1},
                ],
                units={"speed": "frames/s"},
                formats={"speed": ".1f"},
            )
        ],
    )
    for shown in (
        ">2,336,320<",
        ">0.500<",
        ">12.3<",
        "<small>frames/s</small>",
        ">\u2013<",
    ):
        assert shown in page
    assert page.index(">name<") < page.index(">speed<") < page.index(">extra<")
    assert '<td class="number">0.500' in page and '<th scope="row">x' in page


def test_the_largest_number_of_a_row_is_bold_among_those_compared():
    rows = [{"n": 9, "a": 0.5, "b": 0.25}, {"n": 9, "a": None, "b": 0.125}]
    page = markup.html_page("t", [markup.Table(rows, compared=("a", "b"))])
    assert re.findall("<b>(.*?)</b>", page) == ["0.500"]  # one alone is not compared


def test_a_figure_that_is_no_image_is_refused():
    with pytest.raises(ValueError, match="must be"):
        markup.html_page("t", [markup.Figure("http://x/y.png")])
