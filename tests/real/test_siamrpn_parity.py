"""A converted SiamRPN against the same tracker in PyTorch and NumPy, on real video."""

import numpy as np
import pytest

from dst_jax.boxes import xywh_to_cxcywh
from dst_jax.convert import siamrpn_from_pytorch, siamrpn_spec
from dst_jax.data.frames import frame_paths, read_frame
from dst_jax.track import SiamRPNTracking, make_tracker
from tests import dasiamrpn
from tests.track import reference

pytestmark = pytest.mark.real
WIDTHS, FEATURES = (16, 24, 32, 32, 24), 24


def read_box(path):
    """The first box, cxcywh and 0-based, from OTB's 1-based x,y,w,h."""
    text = path.read_text().splitlines()[0].replace(",", " ").replace("\t", " ")
    row = np.array(text.split(), float) - np.array([1.0, 1.0, 0.0, 0.0])
    return xywh_to_cxcywh(row).astype(np.float32)


def crops_of(frame, box, spec, *, count=4):
    """Search crops around the target, to normalise a network with."""
    px = spec.input.search_px / spec.input.template_px
    side = round(reference.context_side(*box[2:]) * px)
    colour = frame.mean(axis=(0, 1))
    centres = box[:2] + np.arange(count)[:, None] * 7.0
    return np.stack(
        [
            reference.subwindow(frame, c, spec.input.search_px, side, colour)
            for c in centres
        ]
    )


# Surfer's target covers .0035 of the frame, which makes it a small one.
@pytest.mark.parametrize(("name", "frames"), [("Deer", 71), ("Surfer", 30)])
def test_boxes_agree_with_the_restated_tracker(real_data, name, frames):
    folder = real_data / "otb" / name
    video = [read_frame(path) for path in frame_paths(folder / "img")[:frames]]
    box = read_box(folder / "groundtruth_rect.txt")
    empty = dasiamrpn.Network(WIDTHS, FEATURES)
    spec = siamrpn_spec(dasiamrpn.state_dict(empty))
    crops = crops_of(video[0], box, spec)
    network = dasiamrpn.tracking_network(crops, widths=WIDTHS, features=FEATURES)
    config = SiamRPNTracking()

    def ask(template, search):
        return dasiamrpn.ask(network, template, search)

    expected, scores = reference.track(video, box, ask, spec=spec, config=config)
    variables, _ = siamrpn_from_pytorch(dasiamrpn.state_dict(network), spec)
    result = make_tracker(spec, variables, tracking=config).track(video, box)
    distance = np.linalg.norm(result.boxes[:, :2] - expected[:, :2], axis=1)
    sides = np.abs(result.boxes[:, 2:] - expected[:, 2:]).max()
    print(f"{name}: mean distance {distance.mean():.4f} px, sides {sides:.4f} px")
    assert distance.mean() <= 1.0
    assert sides <= 1.0
    np.testing.assert_allclose(result.scores, scores, atol=0.01)
    # The boxes had somewhere to go.
    assert np.ptp(expected[:, 0]) > 10.0
