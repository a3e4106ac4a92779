"""Evaluation protocols: named values that state every convention of a score.

Kits differ in conventions that move scores by points. A protocol spells its own out,
and a report quotes them; nothing outside this folder knows of them.
"""

from dst_jax.evaluate.protocols.choice import PRESETS as PRESETS
from dst_jax.evaluate.protocols.choice import AnyProtocol as AnyProtocol
from dst_jax.evaluate.protocols.choice import lacking as lacking
from dst_jax.evaluate.protocols.choice import named_protocol as named_protocol
from dst_jax.evaluate.protocols.choice import protocol_of_layout as protocol_of_layout
from dst_jax.evaluate.protocols.otb import OTB as OTB
from dst_jax.evaluate.protocols.protocol import Curve as Curve
from dst_jax.evaluate.protocols.protocol import Measure as Measure
from dst_jax.evaluate.protocols.protocol import Protocol as Protocol
from dst_jax.evaluate.protocols.vot import ResetMeasure as ResetMeasure
from dst_jax.evaluate.protocols.vot import ResetProtocol as ResetProtocol
