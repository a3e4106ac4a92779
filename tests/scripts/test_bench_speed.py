"""Benchmarks of an accelerator measure what they say, on any device."""

import json
import pathlib
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest

from dst_jax.arch import named
from dst_jax.search import SearchConfig, Trial
from dst_jax.train import TIMES


def test_the_host_alone_takes_every_frame_of_every_video(script, monkeypatch):
    bench, taken = script("bench_batches"), []
    pool = np.arange(6, dtype=np.uint8).repeat(3 * 8 * 9).reshape(6, 8, 9, 3)
    videos = bench.Videos(pool, 5)
    assert [frame[0, 0, 0] for frame in videos.frames(1)] == [1, 2, 3, 4, 5]

    class Watched(bench.Stream):
        def fill(self, canvases):
            taken.append(super().fill(canvases))
            return taken[-1]

    monkeypatch.setattr(bench, "Stream", Watched)
    assert bench.filled(videos, 3, rounds=2) > 0.0
    assert sum(taken) == 3 * 3 * 5  # a round before the clock starts, and two


def test_frames_a_second_are_the_median_of_rounds(script, monkeypatch):
    bench, clock = script("bench_batches"), iter([0.0, 1.0, 5.0, 7.0, 8.0, 108.0])
    monkeypatch.setattr(bench.time, "perf_counter", lambda: next(clock))
    assert bench.frames_per_s(10, lambda: None, 3) == 5.0


@pytest.mark.slow
def test_a_batch_is_told_with_what_binds_it(script, capsys):
    words = "--networks tiny --batches 2 --apart 2 --frames 3 --size 60 90 --targets 2 "
    words += "--rounds 1"
    script("bench_batches").main(words.split())
    said = capsys.readouterr().out
    for words in ("(Session)", "one scan over", "batch 2: total", "binds", "crops"):
        assert words in said
    assert "tiny, 2 targets of a video of 3 frames" in said


def test_a_search_is_told_without_its_first_step(script):
    bench = script("bench_search")
    tried = Trial(1, 0, (), named("tiny"), None, 0.5, 0.5, 0.5, 1.0)
    unfit = Trial(1, 1, (), None, "no", 0.0, 0.0, -1.0, 0.0)
    search = SearchConfig(pairs=8, epochs=1.0, batch=4)
    lines = [*bench.search_lines([(9.0, [tried]), (2.0, [tried, unfit])], search)]
    assert lines[0].endswith("9.0 s")
    assert (
        "1 steps of the policy in 2.0 s: 2 candidates, 1 trained, 4 pairs/s"
        in (lines[1])
    )
    assert lines[2].startswith("30.0 steps a minute")


def test_every_set_of_flags_has_programs_of_its_own(
    script, tmp_path, monkeypatch, capsys
):
    bench, calls = script("bench_start"), []
    seconds = {"start": 2.0, "compilation": 4.0, "data": 1.0, "steps": 8.0}
    told = {"programs": 3, "read": 1, "program_s": 4.0, "traced_s": 0.5}
    told |= {"names": {"step": 3.0, "x": 1.0}, "libraries_s": 10.0}
    told |= {"device_s": 20.0, "whole_s": 99.0}

    def call(command, *, env, **_):
        calls.append((env["XLA_FLAGS"], env["XDG_CACHE_HOME"]))
        assert "JAX_COMPILATION_CACHE_DIR" not in env
        workdir = pathlib.Path(command[-1])
        workdir.mkdir(parents=True)
        line = {"began": 0, "step": 1, "at": 9.0}
        whole = {cause: 0.0 for cause in ("validation", "checkpoint")} | seconds
        (workdir / TIMES).write_text(json.dumps({**line, "seconds": whole}) + "\n")
        return SimpleNamespace(returncode=0, stdout="COUNTED " + json.dumps(told))

    monkeypatch.setattr(subprocess, "run", call)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("XLA_FLAGS", "--a=1")
    bench.main(["--beside", "--b=2", "train", "x", "--workdir", "WORKDIR"])
    said = capsys.readouterr().out
    assert sorted({flags for flags, _ in calls}) == ["--a=1", "--a=1 --b=2"]
    folders = [{folder for f, folder in calls if f == flags} for flags, _ in calls[:2]]
    assert [len(folder) for folder in folders] == [1, 1] and folders[0] != folders[1]
    assert said.count("to the end of the first step: 37.0 s") == 4
    assert "longest: step 3.0 s, x 1.0 s" in said and "again / first, --b=2:" in said
