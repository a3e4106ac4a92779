"""Raw files of seven layouts score as the got10k toolkit scores the same files."""

import json
import pathlib

import numpy as np
import pytest

from dst_jax.workflows.evaluate import evaluate_results

GOLDEN = pathlib.Path(__file__).parent / "goldens" / "got10k_layouts.json"
LAYOUTS = ("otb", "dtb70", "uav123", "nfs", "tc128", "lasot", "got10k")


@pytest.fixture(scope="module")
def golden():
    return json.loads(GOLDEN.read_text())["layouts"]


def scored(tmp_path, layout, files):
    for part in ("data", "results"):
        for place, text in files[part].items():
            (tmp_path / part / place).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / part / place).write_text(text)
    source, protocol = f"{layout}:{tmp_path / 'data'}", f"{layout}/got10k"
    found = evaluate_results(source, tmp_path / "results", protocol=protocol)
    (score,) = found.scores.values()
    return score


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "got10k"])
def test_raw_files_score_as_the_toolkit_says(golden, tmp_path, layout):
    ours, report = scored(tmp_path, layout, golden[layout]), golden[layout]["report"]
    parts = {"overall": ours, **ours.sequences}
    for name, kit in {"overall": report["overall"], **report["seq_wise"]}.items():
        got = parts[name]
        kit_values = kit["success_score"], kit["precision_score"], kit["success_rate"]
        values = [got.values[n] for n in ("success_auc", "precision_20", "op_50")]
        np.testing.assert_allclose(values, kit_values, atol=1e-6, err_msg=name)
        for curve in ("success", "precision"):
            np.testing.assert_allclose(
                got.curves[curve], kit[f"{curve}_curve"], atol=1e-6, err_msg=name
            )


def test_got10ks_raw_files_score_as_the_toolkit_says(golden, tmp_path):
    ours, report = (
        scored(tmp_path, "got10k", golden["got10k"]),
        golden["got10k"]["report"],
    )
    parts = {"overall": ours, **ours.sequences}
    for name, kit in {"overall": report["overall"], **report["seq_wise"]}.items():
        values = [parts[name].values[n] for n in ("average_overlap", "sr_50")]
        np.testing.assert_allclose(values, [kit["ao"], kit["sr"]], atol=1e-6)
    curve = report["overall"]["succ_curve"]
    np.testing.assert_allclose(ours.curves["success"], curve, atol=1e-6)
    assert ours.values["sr_75"] == pytest.approx(curve[75], abs=1e-6)
