"""Scoring boxes: metrics, protocols, result files, reports and plots."""

from dst_jax.evaluate.difference import Difference as Difference
from dst_jax.evaluate.difference import paired_difference as paired_difference
from dst_jax.evaluate.protocols import OTB as OTB
from dst_jax.evaluate.protocols import PRESETS as PRESETS
from dst_jax.evaluate.protocols import Measure as Measure
from dst_jax.evaluate.protocols import Protocol as Protocol
from dst_jax.evaluate.protocols import ResetProtocol as ResetProtocol
from dst_jax.evaluate.protocols import named_protocol as named_protocol
from dst_jax.evaluate.restart_run import run_with_restarts as run_with_restarts
from dst_jax.evaluate.restarts import RegionTruth as RegionTruth
from dst_jax.evaluate.restarts import score_runs as score_runs
from dst_jax.evaluate.score import Score as Score
from dst_jax.evaluate.score import SequenceScore as SequenceScore
from dst_jax.evaluate.score import score as score
from dst_jax.evaluate.score import score_sequence as score_sequence
from dst_jax.evaluate.truth import Truth as Truth
