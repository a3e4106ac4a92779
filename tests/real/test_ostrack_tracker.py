"""OSTrack on real video, against its network in PyTorch and its tracker in NumPy."""

import numpy as np
import pytest

from dst_jax.arch import named
from dst_jax.convert import ostrack_from_pytorch
from dst_jax.data.frames import frame_paths, read_frame
from dst_jax.track import OSTrackTracking, make_tracker
from tests import ostrack_twin
from tests.models.test_ostrack_twin import planes
from tests.real.test_siamrpn_parity import read_box
from tests.track import ostrack_reference

torch = ostrack_twin.torch
pytestmark = [pytest.mark.real, pytest.mark.slow]
SPEC = named("mini-ostrack-64")


def mover():
    """A twin that was not trained and whose boxes yet move."""
    network = ostrack_twin.make_twin("mini-ostrack", SPEC.input.search_px)
    head = network.box_head
    with torch.no_grad():
        head.conv5_ctr.weight.mul_(4.0)
        for read in (head.conv5_size, head.conv5_offset):
            read.weight.mul_(0.1)
        # A box has about a fifth of its window, as public crops have.
        head.conv5_size.bias.fill_(-1.4)
    return network


def asked(network):
    """The twin as the restated tracker asks it."""

    def ask(template, crop):
        with torch.no_grad():
            images = (planes(np.float32(one)[None]) for one in (template, crop))
            found = network(*images)
        cells = torch.cat([found["offset"], found["size"]], dim=1)
        return found["ctr"][0, 0].numpy(), cells[0].permute(1, 2, 0).numpy()

    return ask


@pytest.mark.parametrize(("name", "frames"), [("Deer", 71), ("Crossing", 120)])
def test_boxes_agree_with_the_restated_tracker(real_data, name, frames):
    folder = real_data / "otb" / name
    video = [read_frame(path) for path in frame_paths(folder / "img")]
    assert len(video) == frames
    box, network = read_box(folder / "groundtruth_rect.txt"), mover()
    expected, scores = ostrack_reference.track(video, box, asked(network), spec=SPEC)
    variables, _ = ostrack_from_pytorch(ostrack_twin.state_dict(network), SPEC)
    tracker = make_tracker(
        SPEC, variables, tracking=OSTrackTracking(literal_border=True)
    )
    found = tracker.track(video, box)
    distance = np.linalg.norm(found.boxes[1:, :2] - expected[:, :2], axis=1)
    sides = np.abs(found.boxes[1:, 2:] - expected[:, 2:])
    print(f"{name}: distance {distance.mean():.4f} px, sides {sides.mean():.4f} px")
    assert distance.mean() <= 0.5 and sides.mean() <= 0.5
    np.testing.assert_allclose(found.scores[1:], scores, atol=0.01)
    # The boxes had somewhere to go.
    assert np.ptp(expected[:, 0]) > 10.0
