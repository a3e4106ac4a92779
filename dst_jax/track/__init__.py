"""Online tracking, compiled: `make_tracker`, then `Tracker.track`."""

from dst_jax.track.config import SIAMRPN_PRESETS as SIAMRPN_PRESETS
from dst_jax.track.config import SiamFCTracking as SiamFCTracking
from dst_jax.track.config import SiamRPNTracking as SiamRPNTracking
from dst_jax.track.config import Tracking as Tracking
from dst_jax.track.procedure import default_tracking as default_tracking
from dst_jax.track.run import Tracker as Tracker
from dst_jax.track.run import TrackResult as TrackResult
from dst_jax.track.run import make_tracker as make_tracker
from dst_jax.track.state import TrackOutput as TrackOutput
from dst_jax.track.state import TrackState as TrackState
