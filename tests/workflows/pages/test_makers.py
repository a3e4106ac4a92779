"""What a bundle's card and the log beside it tell of how a tracker was made."""

import dataclasses
import json

import pytest

from dst_jax.bundle import load_bundle, save_bundle
from dst_jax.workflows.pages.makers import maker_of
from tests.workflows.bundles import save_tiny


def carded(path, **card):
    """A bundle with a card."""
    bundle = load_bundle(save_tiny(path.parent / "bare"))
    return save_bundle(dataclasses.replace(bundle, card=card), path)


def config(*terms, teacher="sha"):
    return {
        "experiment": {"distill": {"terms": {name: {} for name in terms}}},
        "teacher": teacher,
        "data": "0123456789abcdef",
    }


@pytest.mark.parametrize(
    ("terms", "row"),
    [
        (("gt",), "NOKD"),
        (("ah", "str", "ts"), "TSKD"),
        (("ah", "ks", "str", "ts"), "TSsKD"),
        (("gt", "ts"), "GT+TS"),
        (("gt", "pair", "point"), "DLF"),
        (("disc", "gt", "qkv"), "LoReTrack"),
        (("gt", "mine"), "gt+mine"),
    ],
)
def test_the_row_is_known_by_its_terms(tmp_path, terms, row):
    found = maker_of(carded(tmp_path / "b", student="dull", config=config(*terms)))
    assert (found.student, found.row, found.teacher) == ("dull", row, "sha")


def test_what_the_card_tells_is_told(tmp_path):
    found = maker_of(
        carded(
            tmp_path / "b",
            student="dull",
            seed=3,
            config=config("gt"),
            made_by="dst-jax distill",
            devices="1 x cpu",
            versions={"jax": "1.0", "numpy": "2.0"},
        )
    )
    assert found.seed == 3 and found.parameters > 0
    assert found.told["data"] == "0123456789ab"
    assert found.told["made by"] == "dst-jax distill"
    assert found.told["versions"] == "jax 1.0"


@pytest.mark.parametrize(
    "card",
    [
        {},
        {"student": "teacher", "config": config("gt")},
        {"student": 3, "seed": "x", "config": {"experiment": [], "teacher": 4}},
        {"student": "dull", "config": {"experiment": {"distill": {"terms": []}}}},
    ],
)
def test_a_card_that_tells_no_student_makes_a_stranger(tmp_path, card):
    found = maker_of(carded(tmp_path / "b", **card))
    assert (found.student, found.row, found.seed) == ("", "", None)


def trained(folder, *gates):
    """A run's folder with a bundle and a log, a line for each share of open gates."""
    lines = [{"step": n, "steps": 1, "gate/dull": gate} for n, gate in enumerate(gates)]
    (folder / "bundles").mkdir(parents=True)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text)
    return folder / "bundles" / "dull"


def test_the_log_of_the_training_tells_how_often_gates_were_open(tmp_path):
    path = trained(tmp_path / "run", 0.25, 0.75)
    own = config("ah", "ts", "str", "ks")
    assert maker_of(carded(path, student="dull", config=own)).gate_open == 0.5


@pytest.mark.parametrize("log", [None, "{", '{"step": 1, "gate/dull": 1.0}'])
def test_without_a_log_or_with_a_faulty_one_nothing_is_known_of_gates(tmp_path, log):
    path = trained(tmp_path / "run")
    (tmp_path / "run" / "metrics.jsonl").unlink()
    if log is not None:
        (tmp_path / "run" / "metrics.jsonl").write_text(log)
    own = config("ah", "ts", "str", "ks")
    assert maker_of(carded(path, student="dull", config=own)).gate_open is None
