"""OSTrack in PyTorch computes what ours computes, and the benchmark counts rightly."""

import sys
import types

import numpy as np
import pytest

from dst_jax.arch import named
from dst_jax.ops.centre import centre_maps

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def scripts(script):
    found = ("bench_ostrack", "ostrack_parity", "torch_ostrack")
    return types.SimpleNamespace(**{n: script(n) for n in found})


def options(scripts, monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["bench_ostrack.py", *words])
    return scripts.bench_ostrack.parsed()


MINI = ("--family", "mini-ostrack", "--sizes", "64", "48")


@pytest.mark.slow
@pytest.mark.optax
def test_answers_losses_and_gradient_in_pytorch_are_ours(scripts, capsys, monkeypatch):
    args = options(scripts, monkeypatch, *MINI, "--parity-batch", "2")
    scripts.bench_ostrack.check_parity(args)
    lines = capsys.readouterr().out.splitlines()
    found = {line.split()[0] for line in lines if line.startswith("  ")}
    networks = {
        f"{network}/{what}"
        for network in ("teacher", "student")
        for what in ("score", "offsets", "q", "k", "v", "norm")
    }
    assert found == {*networks, "gt", "qkv", "disc", "student/gradient"}


@pytest.mark.optax
def test_a_difference_ends_the_benchmark(scripts, monkeypatch):
    args = options(scripts, monkeypatch, *MINI)
    found = {"gt": 2e-4, "qkv": float("nan"), "student/gradient": 9e-3}
    monkeypatch.setattr(scripts.ostrack_parity, "differences", lambda *_: found)
    with pytest.raises(SystemExit, match=r"differ in gt, qkv$"):
        scripts.bench_ostrack.check_parity(args)


def test_labels_in_pytorch_are_ours(scripts):
    """Boxes beyond an edge, on it, and whose centres lie halfway between cells."""
    boxes = np.float32(
        [[24, 24, 12, 20], [47.9, 3, 10, 6], [20, 30, 40, 44], [1, 46, 9, 14]]
    )
    found = scripts.torch_ostrack.make_targets(torch.from_numpy(boxes), 6, 48)
    np.testing.assert_allclose(found.heat, centre_maps(boxes / 48, 6), atol=1e-6)
    assert (found.heat == 1).sum() == 4
    corner = [47.9 / 48 - 5 / 48, 0.0, 1.0, 6 / 48]
    x, y, w, h = found.box[1].tolist()
    np.testing.assert_allclose(
        [x - w / 2, y - h / 2, x + w / 2, y + h / 2], corner, atol=1e-6
    )


def test_flipped_windows_keep_their_target(scripts):
    """The brightest pixel marks the target's place."""
    spec = named("mini-ostrack-48")
    step = types.SimpleNamespace(device="cpu", wide_px=spec.input.search_px)
    batch = {
        "template_patch": np.zeros((16, 24, 24, 3), np.uint8),
        "search_patch": np.zeros((16, 48, 48, 3), np.uint8),
        "search_box": np.tile(np.float32([10.5, 30.5, 8, 6]), (16, 1)),
    }
    batch["search_patch"][:, 30, 10] = 255
    batch["template_patch"][:, 5, 3] = 255
    torch.manual_seed(0)
    feed = scripts.torch_ostrack.TorchStep.batches(step, batch)
    template, search, boxes = next(feed)
    columns = search[:, 0, 30].argmax(-1)
    np.testing.assert_array_equal(columns + 0.5, boxes[:, 0])
    assert set(columns.tolist()) == {10, 37}
    mirrored = template[:, 0, 5].argmax(-1) == 20
    assert len({*zip(mirrored.tolist(), (columns == 37).tolist(), strict=True)}) == 4


def test_a_pair_of_the_paper_costs_335_billion_operations(scripts):
    """A teacher's pass, and three times the student's, attention included."""
    flops = scripts.bench_ostrack.pair_flops(named("ostrack-384"), named("ostrack-256"))
    own = 29_024_100_352 + 1_887_436_800
    assert flops == 2 * (65_304_225_792 + 9_555_148_800 + 3 * own)


def test_the_report_divides_by_the_peak_of_the_precision(scripts, capsys, monkeypatch):
    """100 pairs/s of 335.2 GFLOP are 3.35 % of 1000 TFLOP/s, and 6.7 % of half."""
    args = options(scripts, monkeypatch, "--peak", "1000")
    for precision, share in (("bfloat16", "3.4%"), ("full", "6.7%")):
        times = {"dst_jax": [0.32] * 3, "PyTorch, eager": [0.64] * 3}
        scripts.bench_ostrack.report(args, precision, 32, times)
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == f"{precision}, batch 32, ostrack-256 under ostrack-384:"
        assert "100.0 pairs/s" in lines[1] and lines[1].endswith(f"MFU {share}")
        assert "50.0 h for 18 M pairs" in lines[1]
        assert "dst_jax / PyTorch, eager: 2.00" in lines[3]


@pytest.mark.optax
def test_a_batch_that_does_not_fit_is_halved(scripts, capsys, monkeypatch):
    tried = []

    def prepare(args, precision, batch):
        tried.append(len(batch["search_patch"]))
        if len(tried) == 1:
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return {"dst_jax": lambda: 0.5}, []

    words = (*MINI, "--batch", "4", "--precision", "full", "--rounds", "1")
    args = options(scripts, monkeypatch, *words)
    monkeypatch.setattr(scripts.bench_ostrack, "prepared_sides", prepare)
    assert scripts.bench_ostrack.bench_steps(args) == []
    assert tried == [4, 2]
    assert "4.0 pairs/s" in capsys.readouterr().out


@pytest.mark.optax
def test_a_side_that_fails_leaves_the_others(scripts, capsys, monkeypatch):
    def broken(*_, **__):
        raise ValueError("no kernel for this")

    bench = scripts.bench_ostrack
    monkeypatch.setattr(bench, "our_sides", lambda *_: [("dst_jax", broken)])
    monkeypatch.setattr(bench, "their_side", lambda *_, **__: lambda: 1.0)
    args = options(scripts, monkeypatch, *MINI, "--sides", "here", "eager")
    runs, failed = bench.prepared_sides(args, "full", {})
    assert list(runs) == ["PyTorch, eager"] and failed == ["dst_jax"]
    assert "dst_jax: FAILED, ValueError: no kernel" in capsys.readouterr().out


def test_tracking_counts_the_frames_of_all_videos(scripts, monkeypatch):
    words = ("--frames", "3", "--frame", "24", "32")
    frames, box = scripts.bench_ostrack.video(options(scripts, monkeypatch, *words))
    assert len(frames) == 3 and frames[0].shape == (24, 32, 3)
    asked = []

    def track_many(videos, boxes, *, batch):
        asked.append((len([list(v) for v in videos]), len(boxes), batch))

    clock = iter([10.0, 16.0])
    monkeypatch.setattr(scripts.bench_ostrack.time, "perf_counter", lambda: next(clock))
    tracker = types.SimpleNamespace(track_many=track_many)
    assert scripts.bench_ostrack.tracked(tracker, frames, box, 4) == 0.5
    assert asked == [(4, 4, 4)]
