"""Online tracking, compiled: `make_tracker`, then `Tracker.track`."""

from dst_jax.track.config import SiamFCTracking as SiamFCTracking
from dst_jax.track.run import Tracker as Tracker
from dst_jax.track.run import TrackResult as TrackResult
from dst_jax.track.run import make_tracker as make_tracker
from dst_jax.track.siamfc import TrackOutput as TrackOutput
from dst_jax.track.siamfc import TrackState as TrackState
