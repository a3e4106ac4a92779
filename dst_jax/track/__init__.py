"""Compiled online tracking: `Tracker` follows whole videos, `Session` single frames."""

from dst_jax.track.confidence import probabilities as probabilities
from dst_jax.track.config import PRESETS as PRESETS
from dst_jax.track.config import SIAMDW_PRESETS as SIAMDW_PRESETS
from dst_jax.track.config import SIAMRPN_PRESETS as SIAMRPN_PRESETS
from dst_jax.track.config import OSTrackTracking as OSTrackTracking
from dst_jax.track.config import SiamFCTracking as SiamFCTracking
from dst_jax.track.config import SiamRPNTracking as SiamRPNTracking
from dst_jax.track.config import Tracking as Tracking
from dst_jax.track.lanes import TrackResult as TrackResult
from dst_jax.track.procedure import default_tracking as default_tracking
from dst_jax.track.run import Tracker as Tracker
from dst_jax.track.run import make_tracker as make_tracker
from dst_jax.track.session import FrameResult as FrameResult
from dst_jax.track.session import Session as Session
from dst_jax.track.state import FOUND_AGAIN as FOUND_AGAIN
from dst_jax.track.state import LOST as LOST
from dst_jax.track.state import TRACKED as TRACKED
from dst_jax.track.state import UNCERTAIN as UNCERTAIN
from dst_jax.track.state import TrackOutput as TrackOutput
from dst_jax.track.state import TrackState as TrackState
