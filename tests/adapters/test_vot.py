"""The VOT toolkit's calls; `scripts/check_vot.sh` runs the toolkit itself."""

import cv2
import numpy as np
import pytest

from dst_jax.adapters.vot import VotTracker
from dst_jax.bundle import Bundle, save_bundle
from dst_jax.errors import InputError
from dst_jax.track import SiamFCTracking
from tests.track import scenes

FRAMES, _ = scenes.video(5, velocity=(2.0, 1.0))


@pytest.fixture
def tracker(tmp_path):
    value = Bundle(scenes.SPEC, scenes.weights(), SiamFCTracking(), {})
    return VotTracker(bundle=str(save_bundle(value, tmp_path / "bundle")))


@pytest.fixture
def files(tmp_path):
    names = [str(tmp_path / f"{number}.png") for number in range(5)]
    for name, frame in zip(names, FRAMES, strict=True):
        cv2.imwrite(name, frame[..., ::-1])
    return names


@pytest.mark.parametrize(
    "region",
    [(60.0, 50.0, 20.0, 20.0), [(60, 50), (80.0, 50.0), (80.0, 70.0), (60.0, 70.0)]],
    ids=["rectangle", "polygon"],
)
def test_the_toolkit_s_calls_follow_the_target(tracker, files, region):
    assert not tracker.multiobject
    assert tracker.init(files[0], (region, {}), {}) == ((60, 50, 20, 20), {})
    for number, name in enumerate(files[1:], start=1):
        box, said = tracker.update(name, [], {})
        # The toolkit takes a rectangle for a tuple of four numbers alone.
        assert type(box) is tuple and {type(value) for value in box} == {float}
        np.testing.assert_allclose(box, (60 + 2 * number, 50 + number, 20, 20), atol=3)
        assert list(said) == ["confidence"] and 0.0 <= said["confidence"] <= 1.0


def test_images_by_channel_are_taken_as_they_are(tracker, files):
    tracker.init({"color": FRAMES[0]}, ((60.0, 50.0, 20.0, 20.0), {}), {})
    from_arrays = tracker.update({"color": FRAMES[1]}, [], {})
    tracker.init(files[0], ((60.0, 50.0, 20.0, 20.0), {}), {})
    assert tracker.update(files[1], [], {}) == from_arrays


def test_a_mask_is_refused_with_what_to_set(tracker, files):
    mask = [[0, 1, 1], [0, 1, 1]]
    with pytest.raises(InputError, match="set `convert = rectangle`"):
        tracker.init(files[0], (mask, {}), {})
