"""SiamRPN++ tracks as its PyTorch twin does under the public procedure, restated."""

import numpy as np
import pytest

from dst_jax.arch import named
from dst_jax.convert import siamrpnpp_from_pytorch
from dst_jax.data.frames import frame_paths, read_frame
from dst_jax.track import make_tracker
from dst_jax.track.config import SIAMRPN_PRESETS
from tests import pysot_twin
from tests.real.test_siamrpn_parity import crops_of, read_box
from tests.track import reference, scenes

TRACKING = SIAMRPN_PRESETS["r50"]


def both(name, frames, box):
    """Boxes and scores of a video, here and restated."""
    spec = named(name)
    searches = crops_of(frames[0], box, spec)
    side = round(reference.context_side(*box[2:]))
    colour = frames[0].mean(axis=(0, 1))
    template = reference.subwindow(
        frames[0], box[:2], spec.input.template_px, side, colour
    )
    network = pysot_twin.make_mover(name, template, searches)

    def ask(template, search):
        # The preset has no second size of the crop for small targets.
        assert search.shape[0] == spec.input.search_px
        return pysot_twin.ask(network, template, search)

    expected = reference.track(frames, box, ask, spec=spec, config=TRACKING)
    variables, _ = siamrpnpp_from_pytorch(pysot_twin.state_dict(network), spec)
    found = make_tracker(spec, variables, tracking=TRACKING).track(frames, box)
    return (found.boxes, found.scores), expected


def assert_agree(found, expected):
    (boxes, scores), (aim, aimed_scores) = found, expected
    distance = np.linalg.norm(boxes[:, :2] - aim[:, :2], axis=1)
    sides = np.abs(boxes[:, 2:] - aim[:, 2:]).max()
    print(f"mean distance {distance.mean():.4f} px, sides {sides:.4f} px")
    assert distance.mean() <= 1.0 and sides <= 1.0
    np.testing.assert_allclose(scores, aimed_scores, atol=0.01)


def test_boxes_equal_those_of_the_restated_tracker():
    # The square covers .022 of the frame; a small target is none of another size.
    frames, boxes = scenes.video(12, start=(45.0, 50.0), velocity=(2.0, 1.0))
    found, expected = both("tiny-siamrpnpp", frames, boxes[0])
    assert_agree(found, expected)
    assert np.ptp(expected[0][:, 0]) > 3.0  # a network of 6 channels follows little


@pytest.mark.real
def test_boxes_agree_over_a_real_sequence(real_data):
    folder = real_data / "otb" / "Deer"
    video = [read_frame(path) for path in frame_paths(folder / "img")]
    assert len(video) == 71
    box = read_box(folder / "groundtruth_rect.txt")
    found, expected = both("mini-siamrpnpp-r18", video, box)
    assert_agree(found, expected)
    assert np.ptp(expected[0][:, 0]) > 10.0
