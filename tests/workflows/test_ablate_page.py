"""The page of an ablation: all networks of its tables, with nothing trained."""

import json

import jax
import numpy as np
import pytest

from dst_jax.bundle import Bundle, load_bundle, save_bundle
from dst_jax.errors import InputError
from dst_jax.evaluate.page import Network
from dst_jax.experiment import experiment_to_json
from dst_jax.models import init_variables
from dst_jax.track import SiamFCTracking
from dst_jax.workflows import evaluation
from dst_jax.workflows.ablation.page import Memory, ablate_with_page
from dst_jax.workflows.ablation.plan import Choice
from dst_jax.workflows.publishing import Evaluation
from dst_jax.workflows.train import Trained
from tests import networks
from tests.evaluate.page.cases import scored
from tests.workflows.test_ablate import QUIET, experiment_of
from tests.workflows.test_ablate import source as source
from tests.workflows.test_ablate import teacher as teacher
from tests.workflows.test_evaluate_files import Drifts

ROWS = ("NOKD", "TSKD", "TSsKD")


@pytest.fixture(autouse=True)
def nothing_is_compiled(monkeypatch):
    def make(spec, variables, *, tracking):
        return Drifts(spec, variables, tracking)

    Drifts.calls = 0
    monkeypatch.setattr(evaluation, "make_tracker", make)


def untrained(settings, folder, *, teacher, backbones, verb, console):
    """First weights as the outcome of a training whose gates stayed shut."""
    made = {"experiment": experiment_to_json(settings)}
    made["teacher"] = load_bundle(teacher).weights_sha256
    line = {"step": 1, "steps": 1}
    if "ks" in settings.distill.active:
        line |= {f"gate/{name}": 0.0 for name in settings.students}
    bundles = {}
    for name, spec in settings.students.items():
        card = {"student": name, "seed": settings.seed, "config": made}
        variables = jax.tree.map(
            np.asarray, init_variables(jax.random.key(settings.seed), spec)
        )
        bundle = Bundle(spec, variables, SiamFCTracking(), card)
        bundles[name] = save_bundle(bundle, folder / "bundles" / name)
    (folder / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    return Trained(bundles, folder / "metrics.jsonl", 1.0)


def write(workdir, source, teacher, **choice):
    choice = Choice(rows=ROWS, seeds=(0, 1), datasets=(source,), **choice)
    experiment = experiment_of(networks.STUDENTS, source)
    page = workdir / "page.html"
    ablate_with_page(
        page,
        experiment,
        choice,
        workdir,
        teacher=teacher,
        train=untrained,
        console=QUIET,
    )
    values = json.loads((workdir / "page.json").read_text())
    return page.read_text(), values


def test_the_page_has_every_row_over_its_seeds_and_runs_no_tracker_twice(
    tmp_path, source, teacher
):
    html, values = write(tmp_path, source, teacher)
    # The teacher, and two students in three rows with two seeds, each with a warm-up.
    assert Drifts.calls == 2 * (1 + 2 * 3 * 2)
    (found,) = values["benchmarks"]
    names = [f"{s} {row}" for s in networks.STUDENTS for row in ROWS]
    assert set(found["networks"]) == {"teacher", "still", *names}
    assert [one["seed"] for one in found["networks"]["dull TSKD"]] == [0, 1]
    assert {one["seeds"] for one in found["differences"]} == {2}
    assert "dull: its gate stayed shut, so that TSsKD is TSKD here." in html
    assert "Table 5: learning without and with teacher and sharing" in html
    assert values["ablation"]["lines"]

    # A second call trains nothing; the boxes are gone and all networks run again.
    again, _ = write(tmp_path, source, teacher)
    assert "its gate stayed shut" in again
    assert Drifts.calls == 2 * 2 * (1 + 2 * 3 * 2)


def test_a_page_without_a_place_is_refused_before_any_training(
    tmp_path, source, teacher
):
    with pytest.raises(InputError, match=r"must end in \.html"):
        ablate_with_page(
            tmp_path / "page.txt",
            experiment_of(networks.STUDENTS, source),
            Choice(rows=("NOKD",), datasets=(source,)),
            tmp_path / "work",
            teacher=teacher,
            train=untrained,
            console=QUIET,
        )
    assert not (tmp_path / "work").exists()


def test_what_was_evaluated_is_remembered(tmp_path):
    asked = []

    def evaluate(source, paths):
        asked.append((source, [path.name for path in paths]))
        return Evaluation(source, {path.name: scored(0.5) for path in paths})

    memory = Memory(evaluate)
    memory("otb:A", [tmp_path / "x", tmp_path / "y"])
    known = memory.network("mine", "otb:A", tmp_path / "x")
    new = memory.network("yours", "otb:B", tmp_path / "x")
    assert asked == [("otb:A", ["x", "y"]), ("otb:B", ["x"])]
    assert isinstance(known, Network) and (known.name, new.name) == ("mine", "yours")
