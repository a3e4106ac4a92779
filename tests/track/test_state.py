import jax.numpy as jnp
import numpy as np

from dst_jax.track import state
from dst_jax.track.config import SiamFCTracking, SiamRPNTracking


def test_mean_colour_ignores_the_rest_of_the_canvas():
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
    canvas = np.full((64, 64, 3), 255, np.uint8)
    canvas[:30, :40] = frame
    expected = frame.reshape(-1, 3).astype(np.float64).mean(axis=0)
    actual = state.mean_rgb(jnp.asarray(canvas), frame_hw=jnp.array([30, 40]))
    np.testing.assert_allclose(actual, expected, rtol=1e-6)
    np.testing.assert_allclose(state.mean_rgb(jnp.asarray(frame)), expected, rtol=1e-6)


def test_states_follow_the_thresholds():
    scores = jnp.array([0.1, 0.3, 0.9])
    both = SiamRPNTracking(lost_below=0.2, uncertain_below=0.6)
    expected = [state.LOST, state.UNCERTAIN, state.TRACKED]
    assert state.judge(scores, both).tolist() == expected
    expected = [state.LOST, state.LOST, state.TRACKED]
    assert state.judge(scores, SiamFCTracking(lost_below=0.5)).tolist() == expected
    assert state.judge(scores, SiamFCTracking()) is None
