"""Reports: the JSON's shape, and the table in a terminal."""

import io
import re

import numpy as np
import pytest
import rich.console

from dst_jax.evaluate import OTB, report, score

TRUTH = np.array([[20.0 + 2 * t, 30.0, 8.0, 10.0] for t in range(6)])


@pytest.fixture(scope="module")
def scores():
    truths = {"a": TRUTH, "b": TRUTH[:4]}
    still = {name: np.repeat(t[:1], len(t), axis=0) for name, t in truths.items()}
    return {"perfect": score(truths, truths, OTB), "[still]": score(still, truths, OTB)}


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


NASTY = "[red]a[/] \x1b[2J\udcff\\"


def test_names_in_the_table_are_no_markup_and_no_codes():
    truths = {NASTY: TRUTH}
    table = report.score_table({NASTY: score(truths, truths, OTB)}, dataset=NASTY)
    console = rich.console.Console(file=io.StringIO(), width=99, force_terminal=True)
    console.print(table)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", console.file.getvalue())
    assert shown.count(r"[red]a[/] \x1b[2J\xff" + "\\") == 3
    assert "\x1b" not in shown
