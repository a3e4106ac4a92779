"""The numbers of a page for other programs: CSV, LaTeX, JSON."""

import csv
import io
import json

from dst_jax.evaluate.page import page_csv, page_json, page_latex
from tests.evaluate.page.cases import benchmark, entry

FOUND = benchmark(
    entry("teacher", 0.66, fps=120.4, stages={"one video": 100.5}),
    entry("dull NOKD", 0.5),
    entry("dull TSKD", 0.6, 0.7),
)


def test_csv_has_a_line_for_each_network_and_each_of_its_sequences():
    lines = list(csv.DictReader(io.StringIO(page_csv([FOUND]))))
    assert len(lines) == 4 * 3
    mean, video = lines[9], lines[11]
    assert (mean["tracker"], mean["seed"], mean["sequence"]) == ("dull TSKD", "1", "")
    assert float(mean["success_auc"]) == 0.705
    assert (video["sequence"], float(video["success_auc"])) == ("b", 0.71)
    assert lines[0]["fps"] == "120.4" and lines[0]["dataset"] == "otb:DIR"
    assert (lines[0]["fps, one video"], lines[3]["fps, one video"]) == ("100.5", "")


def test_names_with_commas_and_quotes_come_back_from_csv():
    name = 'a,"b"\nc'
    lines = list(csv.DictReader(io.StringIO(page_csv([benchmark(entry(name, 0.5))]))))
    assert lines[0]["tracker"] == 'a,"b"\\nc'


def test_latex_is_a_tabular_with_spread_and_escaped_names():
    text = page_latex([benchmark(*FOUND.entries, entry("a_b & c", 0.25))])
    assert r"\begin{tabular}{lrrrrr}" in text and text.endswith("\\end{tabular}\n")
    assert r"tracker & AUC & P@20 & OP.5 & parameters & frames/s \\" in text
    assert r"teacher & 0.665 & 1.000 & 1.000 & 131,500 & 120 \\" in text
    assert r"dull TSKD & 0.655 $\pm$ 0.071 & 1.000 $\pm$ 0.000" in text
    assert r"a\_b \& c & 0.255 & 1.000 & 1.000 & -- & -- \\" in text


def test_json_holds_verdict_differences_seeds_and_provenance():
    values = json.loads(json.dumps(page_json([FOUND], {"commit": "0123"})))
    assert values["provenance"] == {"commit": "0123"}
    (found,) = values["benchmarks"]
    assert found["verdict"][0].startswith("dull TSKD: AUC 0.655, 0.150 above NOKD")
    assert [one["row"] for one in found["differences"]] == ["TSKD"]
    assert [one["seed"] for one in found["networks"]["dull TSKD"]] == [0, 1]
    assert found["networks"]["teacher"][0]["stages"] == {"one video": 100.5}
    assert found["trackers"]["dull NOKD"]["sequences"]["a"]["success_auc"] == 0.5
