"""Reports: the JSON's shape, the table, and a page that stands alone."""

import html.parser
import io
import re

import numpy as np
import pytest
import rich.console

from dst_jax.evaluate import OTB, report, score

TRUTH = np.array([[20.0 + 2 * t, 30.0, 8.0, 10.0] for t in range(6)])
VOID = {"meta", "img", "br"}


@pytest.fixture(scope="module")
def scores():
    truths = {"a": TRUTH, "b": TRUTH[:4]}
    still = {name: np.repeat(t[:1], len(t), axis=0) for name, t in truths.items()}
    return {"perfect": score(truths, truths, OTB), "[still]": score(still, truths, OTB)}


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


def test_the_json_holds_means_and_sequences_as_fractions(scores):
    got = report.scores_json(scores, dataset="otb:x", fps={"perfect": 12.5})
    assert got["dataset"] == "otb:x"
    assert got["protocol"]["strict"] is True
    perfect, still = got["trackers"]["perfect"], got["trackers"]["[still]"]
    assert perfect["success_auc"] == pytest.approx(20 / 21)
    assert (perfect["precision_20"], perfect["op_50"], perfect["fps"]) == (1, 1, 12.5)
    assert "fps" not in still
    assert still["sequences"]["a"]["op_50"] == pytest.approx(2 / 6)
    assert still["sequences"]["b"] == {
        "success_auc": pytest.approx((20 + 12 + 7 + 3) / 21 / 4),
        "precision_20": 1.0,
        "op_50": 2 / 4,
        "frames": 4,
    }
    assert still["op_50"] == pytest.approx((2 / 6 + 2 / 4) / 2)


def test_the_table_shows_every_tracker_and_one_trackers_sequences(scores):
    def shown(some, **kw):
        out = rich.console.Console(file=io.StringIO(), width=100)
        out.print(report.score_table(some, **kw))
        return out.file.getvalue()

    both = shown(scores, fps={"perfect": 12.5})
    assert re.search(r"perfect .*0\.952.*1\.000.*1\.000.*12\.5", both)
    assert re.search(r"\[still\] .*0\.417.*\u2013", both)
    one = shown({"perfect": scores["perfect"]})
    assert re.search(r"  b .*0\.952", one)


def test_a_page_stands_alone_and_is_well_formed():
    page = report.html_page(
        "Demo",
        [
            report.Heading("One"),
            report.Paragraph("First.\n\nSecond."),
            report.Table([{"a": 1}], caption="c"),
            report.Figure("<svg viewBox='0 0 1 1'></svg>", caption="plot"),
            report.SideBySide(
                [report.Figure("data:image/png;base64,AAAA", alt="strip")]
            ),
        ],
    )
    text = parsed(page)
    assert "First." in text and page.count("<p>") == 2
    assert not re.search(r"https?:|<script|<link|@import|url\(", page)
    assert "prefers-color-scheme: dark" in page


def test_whatever_text_is_given_is_escaped():
    nasty = '<script>alert("&$body")</script>'
    page = report.html_page(
        nasty,
        [
            report.Heading(nasty),
            report.Paragraph(nasty),
            report.Table([{nasty: nasty}], units={nasty: nasty}, caption=nasty),
            report.Figure("<svg></svg>", caption=nasty, alt=nasty),
        ],
    )
    assert "<script" not in page
    assert parsed(page).count(nasty) == 9  # title twice; the alt text is no text


NASTY = "[red]a[/] \x1b[2J\udcff\\"


def test_names_in_the_table_are_no_markup_and_no_codes():
    truths = {NASTY: TRUTH}
    table = report.score_table({NASTY: score(truths, truths, OTB)}, dataset=NASTY)
    console = rich.console.Console(file=io.StringIO(), width=99, force_terminal=True)
    console.print(table)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", console.file.getvalue())
    assert shown.count(r"[red]a[/] \x1b[2J\xff" + "\\") == 3
    assert "\x1b" not in shown


def test_a_page_with_any_name_can_be_written():
    sections = [report.Heading(NASTY), report.Paragraph(f"a\nb {NASTY}\n\nc")]
    page = report.html_page(NASTY, [*sections, report.Table([{NASTY: NASTY}])])
    assert r"\xff" in page.encode().decode() and "<p>a b [red]a" in page


def test_cells_are_formatted_by_kind_and_missing_ones_are_dashes():
    page = report.html_page(
        "t",
        [
            report.Table(
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
    assert '<td class="number">0.500' in page and "<td>x" in page


def test_a_figure_that_is_no_image_is_refused():
    with pytest.raises(ValueError, match="must be"):
        report.html_page("t", [report.Figure("http://x/y.png")])
