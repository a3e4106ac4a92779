"""Frames per second of trackers by stage."""

import dataclasses

import numpy as np
import pytest

from dst_jax.arch import named
from dst_jax.bundle import Bundle
from dst_jax.data.synthetic.dataset import SyntheticConfig, write_synthetic
from dst_jax.errors import InputError
from dst_jax.ops.kernels import VARIABLE, kernels_for
from dst_jax.track import SiamFCTracking
from dst_jax.workflows import speeds
from dst_jax.workflows.evaluation import read_videos
from dst_jax.workflows.pace import conditions
from tests.track import scenes

VIDEOS = SyntheticConfig(videos=1, length=5, height=90, width=120)


@pytest.fixture
def video(tmp_path):
    return read_videos(f"got10k:{write_synthetic(tmp_path / 'v', VIDEOS, seed=0)}")[0]


def test_every_tracker_is_timed_in_every_round(video, monkeypatch):
    bundle = Bundle(scenes.SPEC, scenes.weights(), SiamFCTracking(), {})
    files, times = [], iter(np.arange(1000.0))
    true = speeds.run_tracker

    def run(tracker, sequences, *, batch):
        assert batch == 1
        files.append(len(sequences[0].frames))
        return true(tracker, sequences, batch=batch)[0], 10.0 * len(files)

    monkeypatch.setattr(speeds, "run_tracker", run)
    # Each look at the clock is a second after the last.
    monkeypatch.setattr(speeds.time, "perf_counter", lambda: next(times))
    trackers = {"a": bundle, "b": bundle}
    found = speeds.measure_speeds(trackers, video, rounds=3, frames=4)
    assert files == [4] * 6
    # Three frames follow the first. "a" came first, third and fifth.
    assert found["a"] == {"network": 3.0, "crops": 3.0, "decoding": 30.0}
    assert found["b"] == {"network": 3.0, "crops": 3.0, "decoding": 40.0}


def test_a_single_frame_says_nothing_of_speed(tmp_path):
    one = dataclasses.replace(VIDEOS, length=2)
    video = read_videos(f"got10k:{write_synthetic(tmp_path / 'v', one, seed=0)}")[0]
    cut = speeds._first(video, 1)
    with pytest.raises(InputError, match="give one of two frames or more"):
        speeds.measure_speeds({}, cut)


# Programs of oneDNN cannot be kept for the next call, and JAX says so of each.
@pytest.mark.filterwarnings("ignore:Error writing persistent")
def test_conditions_name_the_kernels_of_a_trackers_own_network(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    for name in ("siamfc-alexnet", "ostrack-128"):
        spec = named(name)
        assert conditions(None, spec).kernels == kernels_for(spec).kind
