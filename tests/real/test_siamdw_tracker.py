"""SiamDW's procedure on real video, against its tracker restated in NumPy."""

import numpy as np
import pytest

from dst_jax.arch import named
from dst_jax.convert import read_state_dict, siamfc_from_pytorch
from dst_jax.data.frames import frame_paths, read_frame
from dst_jax.track import SIAMDW_PRESETS, make_tracker
from tests.real.test_siamfc_parity import read_boxes
from tests.track import siamdw_reference
from tests.track.test_siamdw import network

pytestmark = [pytest.mark.real, pytest.mark.slow]
# Its crops, stride and response are those of SiamDW, and it follows targets.
SPEC = named("siamfc-alexnet")


@pytest.mark.parametrize("preset", ["siamdw-otb15", "siamdw-vot17"])
def test_boxes_are_those_of_the_restated_tracker(real_data, preset):
    pytest.importorskip("torch", reason="reading .pth weights needs PyTorch")
    path = real_data.parent / "weights" / "siamfc_alexnet.pth"
    if not path.is_file():
        pytest.skip(f"no weights at {path}")
    variables = siamfc_from_pytorch(read_state_dict(path), SPEC)[0]
    folder, config = real_data / "otb" / "Deer", SIAMDW_PRESETS[preset]
    frames = [read_frame(one) for one in frame_paths(folder / "img")[:50]]
    first = read_boxes(folder / "groundtruth_rect.txt")[0]
    expected = siamdw_reference.track(
        frames, first, network(SPEC, variables), spec=SPEC, config=config
    )
    tracker = make_tracker(SPEC, variables, tracking=config)
    found = tracker.track(frames, first.astype(np.float32)).boxes
    assert np.abs(found - expected).mean() <= 1.0
