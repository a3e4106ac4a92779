"""The benchmark of evaluations compares equal work, and says so where it is not."""

import dataclasses
import json

import numpy as np
import pytest

from dst_jax.data.synthetic.dataset import SyntheticConfig, write_synthetic

VIDEOS = SyntheticConfig(videos=2, length=4, height=90, width=120)


@pytest.fixture(scope="module")
def bench(script):
    return script("bench_eval")


def test_all_sides_take_the_same_frames_and_find_the_same_boxes(
    bench, tmp_path, capsys
):
    data = f"got10k:{write_synthetic(tmp_path / 'v', VIDEOS, seed=0)}"
    report = tmp_path / "found.json"
    options = ["--batches", "2", "--frames", "3", "--rounds", "1", "--json", report]
    bench.main(
        ["--dataset", data, "--network", "tiny", *map(str, options)],
    )
    shown = capsys.readouterr().out
    assert "2 videos, 6 frames in files; 1 rounds" in shown
    found = json.loads(report.read_text())
    assert {bench.ALONE, "batched, 2"} <= {*found["sides"]}
    assert all(side["fps"] > 0.0 for side in found["sides"].values())
    assert found["sides"][bench.ALONE]["ratio"] == 1.0
    bench.main(
        ["--dataset", data, "--network", "tiny", "--memory", *map(str, options)],
    )
    assert bench.TORCH not in capsys.readouterr().out


def test_speeds_are_medians_and_other_boxes_end_the_benchmark(bench, monkeypatch):
    clock = iter(np.cumsum([0, 9, 0, 9, 0, 2, 0, 1, 0, 4, 0, 1, 0, 3, 0, 3]).tolist())
    monkeypatch.setattr(bench.time, "perf_counter", lambda: next(clock))
    still = {"a": np.tile([5.0, 5.0, 4.0, 4.0], (12, 1))}
    off = {"a": still["a"] + [2.0, 0.0, 0.0, 0.0]}
    sides = {bench.ALONE: lambda: still, "batched, 2": lambda: off}
    found = bench.compare(sides, 12, rounds=3)
    assert found.fps(bench.ALONE) == 4.0 and found.fps("batched, 2") == 12.0
    assert found.ratio("batched, 2") == 2.0
    assert found.compile_s == {bench.ALONE: 9.0, "batched, 2": 9.0}
    # Half of each square lies in the other: a third of what both cover.
    assert found.overlap["batched, 2"] == pytest.approx(1 / 3)
    with pytest.raises(SystemExit, match=r"batched, 2: boxes overlap 0.333"):
        bench.check(found)


def test_restarts_of_a_batch_are_those_of_a_session(bench, tmp_path, capsys):
    videos = SyntheticConfig(videos=2, length=16, height=90, width=120)
    data = f"got10k:{write_synthetic(tmp_path / 'v', videos, seed=0)}"
    given = bench.options(["--dataset", data, "--network", "tiny", "--restarts"])
    # From frame 5 on the truth is where nothing has moved to.
    found = [
        dataclasses.replace(
            video, regions=video.regions[:5] + ((0.0, 0.0, 9.0, 9.0),) * 11
        )
        for video in bench.with_regions(bench.read_videos(data))
    ]
    sides = bench.restart_sides(bench.loaded(given), found, [2])
    alone, batched = sides[bench.ALONE](), sides["batched, 2"]()
    nowhere, start, failed = bench.run_boxes([(0.0,), (1.0,), (2.0,)])
    for name, boxes in alone.items():
        lost = int(np.flatnonzero((boxes == failed).all(axis=1))[0])
        np.testing.assert_array_equal(boxes[lost + 1 : lost + 5], [nowhere] * 4)
        np.testing.assert_array_equal(boxes[lost + 5], start)
        np.testing.assert_allclose(batched[name], boxes, atol=1e-2)
    report = tmp_path / "found.json"
    options = ["--batches", "2", "--rounds", "1", "--json", str(report)]
    bench.main(["--dataset", data, "--network", "tiny", "--restarts", *options])
    assert bench.TORCH not in capsys.readouterr().out
    assert json.loads(report.read_text())["sides"]["batched, 2"]["fps"] > 0.0


def test_codes_of_a_run_overlap_themselves_alone(bench):
    run = [(0.0,), (1.0,), (2.0,), (3.0, 4.0, 10.0, 20.0)]
    boxes = bench.run_boxes(run)
    np.testing.assert_array_equal(boxes[3], [8.0, 14.0, 10.0, 20.0])
    for number, box in enumerate(boxes):
        overlap = bench.iou(np.broadcast_to(box, boxes.shape), boxes)
        np.testing.assert_array_equal(overlap, np.arange(4) == number)
