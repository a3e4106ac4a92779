"""LoReTrack's table: each term alone and both, at every resolution."""

import jax
import pytest

from dst_jax.arch import named
from dst_jax.bundle import Bundle, save_bundle
from dst_jax.command.settings import load_experiment
from dst_jax.data.synthetic.dataset import write_synthetic
from dst_jax.models import init_variables
from dst_jax.track import OSTrackTracking
from dst_jax.workflows.ablation.loretrack import network_json
from dst_jax.workflows.ablation.plan import Choice, make_plan, missing_runs
from tests import networks
from tests.workflows import test_ablate, test_ablate_dlf, test_ostrack

ROWS = ("no KD", "QKV", "Disc", "QKV + Disc")
TEACHER, STUDENTS = networks.ONE_STREAM_TEACHER, networks.ONE_STREAM_STUDENTS
LORETRACK = {"rows": (), "tables": ("loretrack",)}


class Stub(test_ablate_dlf.Stub):
    def run(self, workdir, source, teacher, **choice):
        experiment = test_ostrack.experiment_of(source)
        return super().run(workdir, source, teacher, experiment=experiment, **choice)


timed = test_ablate_dlf.timed


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "videos"
    return f"got10k:{write_synthetic(folder, test_ablate.VIDEOS, seed=0)}"


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "large"
    variables = init_variables(jax.random.key(0), TEACHER)
    return save_bundle(Bundle(TEACHER, variables, OSTrackTracking(), {}), path)


def test_all_sizes_learn_at_once_in_four_rows():
    plan = make_plan(
        load_experiment("loretrack"), Choice(**LORETRACK), teacher=named("ostrack-384")
    )
    sizes = ("px256", "px192", "px128", "px96")
    assert [(line.row, line.students) for line in plan.lines] == [
        (row, (name,)) for name in sizes for row in ROWS
    ]
    runs = missing_runs(plan, lambda *key: False)
    assert [run.training.row for run in runs] == [
        "GT",
        "gt+qkv",
        "gt+disc",
        "gt+qkv+disc",
    ]
    assert all(set(run.students) == set(sizes) for run in runs)
    terms = [set(plan.settings(run).distill.active) for run in runs]
    assert terms == [{"gt"}, {"gt", "qkv"}, {"gt", "disc"}, {"gt", "qkv", "disc"}]


def test_multiply_adds_are_counted_both_ways():
    found = network_json(named("ostrack-256"))
    assert (found["macs"], found["attention_macs"]) == (29_024_100_352, 1_887_436_800)
    assert found["search_px"] == 256


def test_the_report_stands_beside_the_readme(tmp_path, source, teacher):
    found = Stub().run(tmp_path, source, teacher, **LORETRACK)
    assert [line["row"] for line in found["lines"]] == [*ROWS, *ROWS]
    page = (tmp_path / "ablation.md").read_text()
    head = "| row | student | px | n | G MACs | with attention | AUC | P@20 | fps |"
    assert head in page
    small = network_json(STUDENTS["dull"])
    macs = [small["macs"], small["macs"] + small["attention_macs"]]
    shown = " | ".join(f"{value / 1e9:.3f}" for value in macs)
    assert f"| QKV + Disc | dull | 16 | 1 | {shown} | .500 | .750 | 100 |" in page
    assert "| teacher |  |  |  |  |  | .500 | .750 | 100 |" in page
    readme = "| 128 | 64.9 | 46.4 | 64.3 | 77.7 | 69.0 | 25 CPU |"
    assert readme in page


def test_speeds_of_every_device_stand_side_by_side(tmp_path, source, teacher, timed):
    here = f"{jax.device_count()} x {jax.devices()[0].device_kind}"
    Stub().run(tmp_path, source, teacher, **LORETRACK)
    file = tmp_path / "speeds.json"
    # As if these had been measured on a machine with a GPU.
    kept = file.read_text()
    assert here in kept
    file.write_text(kept.replace(here, "1 x A5500"))
    Stub().run(tmp_path, source, teacher, **LORETRACK)
    page = (tmp_path / "ablation.md").read_text()
    for device in (here, "1 x A5500"):
        assert f"| {device} | teacher | 400 | 80.0 | 40.0 |" in page
        assert f"| {device} | dull | 800 | 160 | 80.0 |" in page
    assert len(timed) == 2
    Stub().run(tmp_path, source, teacher, **LORETRACK)
    assert len(timed) == 2
