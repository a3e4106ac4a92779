"""Frames and networks' maps of a page, with the smallest network."""

import numpy as np

from dst_jax.bundle import load_bundle
from dst_jax.data.readers import read_sequences
from dst_jax.evaluate import OTB, score
from dst_jax.evaluate.page import Benchmark, Entry, Network
from dst_jax.workflows.pages.film import make_responses, make_strips
from tests.data.readers.trees import write_frames, write_rows
from tests.workflows.bundles import save_tiny

ROWS = [(5 + n, 7, 10, 20) for n in range(12)]


def read(tmp_path, *names):
    for name in names:
        write_frames(tmp_path / name / "img", range(1, 13))
        write_rows(tmp_path / name / "groundtruth_rect.txt", ROWS)
    return read_sequences(f"otb:{tmp_path}")


def still(sequences, *, boxes=True):
    """A tracker that never moves; it does alike in all sequences."""
    truths = {s.name: s.boxes for s in sequences}
    found = {name: np.repeat(t[:1], len(t), axis=0) for name, t in truths.items()}
    network = Network("mine", score(found, truths, OTB), boxes=found if boxes else {})
    return Benchmark("otb:DIR", (Entry("mine", (network,)),))


def test_a_strip_has_frames_spread_over_the_video_and_all_boxes(tmp_path):
    sequences = read(tmp_path, "Ant", "Bee", "Cat")
    strips = make_strips(still(sequences), sequences)
    assert [strip.place for strip in strips] == ["worst", "median", "best"]
    first = strips[0]
    assert list(first.frames) == [2, 4, 7, 9, 11]
    assert all(frame.ndim == 3 for frame in first.frames.values())
    assert first.boxes["mine"].shape == (12, 4)
    # A box that stays at x = 5 overlaps one that has moved by 11 no more.
    np.testing.assert_allclose(first.truth[-1], (5 + 11 - 1 + 5, 7 - 1 + 10, 10, 20))


def test_without_boxes_there_is_no_film(tmp_path):
    sequences = read(tmp_path, "Ant")
    assert make_strips(still(sequences, boxes=False), sequences) == ()


def test_networks_answer_on_their_own_grids(tmp_path):
    sequences = read(tmp_path / "otb", "Ant", "Bee")
    path = save_tiny(tmp_path / "mine")
    found = make_responses(still(sequences), {"mine": path}, sequences)
    assert [(one.sequence, one.frame) for one in found] == [("Ant", 10), ("Bee", 10)]
    answer, spec = found[0].networks["mine"], load_bundle(path).spec
    px = spec.input.search_px
    assert answer.search.shape == (px, px, 3) and answer.search.dtype == np.uint8
    response, stride = answer.maps["response"]
    grid = spec.grid(px)
    assert response.shape == (grid.side, grid.side) and stride == grid.stride
    for what in ("activation", "activation with W"):
        activation, stride = answer.maps[what]
        assert activation.shape == (spec.maps(px)[-1].side,) * 2
        assert stride == spec.maps(px)[-1].stride
    # The target lies in the middle of its crop.
    np.testing.assert_allclose(answer.box[:2], px / 2, atol=1.0)
