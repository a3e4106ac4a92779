"""Data sets of the command line in place of the configuration's."""

import dataclasses
import json

import pytest

from dst_jax.command import settings
from dst_jax.command.main import main
from dst_jax.data.pipeline import DataConfig
from dst_jax.data.synthetic.dataset import SyntheticConfig, write_synthetic
from dst_jax.errors import InputError
from dst_jax.experiment import Experiment
from dst_jax.workflows import demo_video
from tests import networks

TWO = DataConfig(
    sources=("got10k:a", "coco:b"),
    weights=(3.0, 1.0),
    max_gaps=(100, 1),
    reports=("a.json", "b.json"),
    negatives_from="sources",
)
EXPERIMENT = Experiment({"student": networks.TEACHER}, TWO)


def overridden(given, line):
    words = line.split()
    experiment, note = settings.for_sources(EXPERIMENT, given, words)
    return settings.override(experiment, words).data, note


@pytest.mark.parametrize(
    ("given", "line"), [(["otb:x"], ""), ([], "--data.sources otb:x --data.batch 4")]
)
def test_what_belongs_to_the_configurations_own_data_sets_is_dropped(given, line):
    data, note = overridden(given, line)
    assert data.sources == ("otb:x",)
    assert (data.weights, data.max_gaps, data.reports) == ((), (), ())
    assert data.negatives_from == "sequences"
    assert note == (
        "other data sets than the configuration's: its weights, max_gaps, reports, "
        "negatives_from are not used."
    )


def test_as_many_other_data_sets_lose_the_weights_too():
    data, _ = overridden(["otb:x", "otb:y"], "")
    assert data.weights == ()


def test_the_configurations_own_data_sets_keep_their_weights():
    for given, line in ((TWO.sources, ""), ([], "--data.sources got10k:a coco:b")):
        assert overridden(given, line) == (TWO, "")


def test_what_is_given_for_other_data_sets_stays():
    line = "--data.weights 1 2 5 --data.sources otb:x otb:y otb:z"
    data, note = overridden([], line)
    assert data.weights == (1.0, 2.0, 5.0)
    assert (data.negatives_from, data.max_gaps) == ("sources", ())
    assert note.endswith("its max_gaps, reports are not used.")
    line += " --data.max-gaps 1 2 3 --data.reports=a b c"
    data, note = overridden([], line)
    assert (data.max_gaps, data.reports, note) == ((1, 2, 3), ("a", "b", "c"), "")


@pytest.mark.parametrize(
    ("given", "line", "message"),
    [
        (["otb:x"], "--data.weights 1 2", r"weights=\(1.0, 2.0\): give one per source"),
        (
            ["otb:x"],
            "--data.sources otb:y",
            "otb:x is given too; name the dat",
        ),
        (["otb:x", "otb:x"], "", "name each data set once"),
        (["otb:x"], "--data.negatives_from sources", "give weights too"),
    ],
)
def test_what_contradicts_itself_is_refused(given, line, message):
    with pytest.raises(InputError, match=message):
        overridden(given, line)


CONFIG = """
import dataclasses
from tests.data.small_packs import EXPERIMENT
from tests.command.test_sources import TWO

def experiment():
    return dataclasses.replace(EXPERIMENT, data=TWO)
"""


@pytest.fixture
def config(tmp_path):
    (tmp_path / "config.py").write_text(CONFIG)
    return str(tmp_path / "config.py")


@pytest.fixture
def source(tmp_path):
    videos = SyntheticConfig(videos=3, length=3, height=64, width=80)
    return f"got10k:{write_synthetic(tmp_path / 'raw', videos, seed=0)}"


def test_a_pack_takes_its_data_sets_in_both_ways(tmp_path, config, source, capsys):
    cards = []
    for name, words in (("a", [source]), ("b", ["--data.sources", source])):
        out = str(tmp_path / name)
        verb = ["data", "pack", "--out", out, "--config", config]
        assert main([*verb, *words]) == 0
        assert "its weights, max_gaps, reports, " in capsys.readouterr().out
        cards.append(json.loads((tmp_path / name / "pack.json").read_text()))
    assert cards[0] == cards[1]
    assert main(["data", "pack", "--out", str(tmp_path / "c"), "--config", config]) == 2
    assert "missing: SOURCE [SOURCE ...]" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["train", "distill", "search", "ablate"])
@pytest.mark.parametrize("form", [[], ["--data.sources"]])
def test_every_verb_that_trains_takes_data_sets_in_both_ways(
    tmp_path, config, source, capsys, verb, form, monkeypatch
):
    asked = []

    def stop(experiment, *_, **__):
        asked.append(experiment.data)
        raise InputError("enough")

    monkeypatch.setattr("dst_jax.workflows.train.run_training", stop)
    monkeypatch.setattr("dst_jax.workflows.search.search_student", stop)
    monkeypatch.setattr("dst_jax.workflows.ablation.run.run_ablation", stop)
    teacher = [] if verb == "train" else ["--teacher", "x"]
    words = [verb, config, "--workdir", str(tmp_path / "w"), *teacher, *form, source]
    assert main(words) == 2
    assert capsys.readouterr().err == "dst-jax: enough\n"
    assert asked == [dataclasses.replace(DataConfig((source,)))]


def test_the_demonstrations_video_is_made_where_it_is_missing(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    small = SyntheticConfig(videos=2, length=2, height=64, width=80)
    monkeypatch.setattr(demo_video, "TRAIN_VIDEOS", small)
    for name in ("ablation_mini", "demo_teacher", "demo_students"):
        experiment = settings.load_experiment(name)
        assert experiment.data.sources == ("got10k:runs/demo/data/train",)
    left = tmp_path / "runs/demo/data/.tmp-00000000-train"
    left.mkdir(parents=True)
    words = ["ablate", "ablation_mini", "--workdir", "w", "--rows", "GT"]
    # Two videos are too few to hold one out and draw the tiny sets, or train at once.
    monkeypatch.setattr("dst_jax.workflows.ablation.run.missing_runs", lambda *_: [])
    monkeypatch.setattr("dst_jax.workflows.ablation.run.TEST_VIDEOS", small)
    assert main(words) == 0
    assert "runs/demo/data/train: missing; the demo" in capsys.readouterr().out
    made = json.loads((tmp_path / "runs/demo/data/train/synthetic.json").read_text())
    assert (made["seed"], made["config"]["videos"]) == (0, 2)
    assert not left.exists()
    assert main(words) == 0
    assert "missing" not in capsys.readouterr().out
