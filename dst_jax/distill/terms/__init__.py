"""The terms of the papers, one file each; every term is a frozen dataclass."""

from dst_jax.distill.terms.disc import Disc as Disc
from dst_jax.distill.terms.hard import Hard as Hard
from dst_jax.distill.terms.pair import Pair as Pair
from dst_jax.distill.terms.point import Point as Point
from dst_jax.distill.terms.qkv import Qkv as Qkv
from dst_jax.distill.terms.response import Response as Response
from dst_jax.distill.terms.sharing import Sharing as Sharing
from dst_jax.distill.terms.soft import Soft as Soft
from dst_jax.distill.terms.task import Task as Task
