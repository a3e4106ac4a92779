"""Scoring boxes: metrics, protocols, result files, reports and plots."""

from dst_jax.evaluate.protocols import OTB as OTB
from dst_jax.evaluate.protocols import Protocol as Protocol
from dst_jax.evaluate.protocols import SequenceScore as SequenceScore
from dst_jax.evaluate.protocols import TrackerScore as TrackerScore
from dst_jax.evaluate.protocols import score as score
from dst_jax.evaluate.protocols import score_sequence as score_sequence
