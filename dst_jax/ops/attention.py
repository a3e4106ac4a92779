"""Attention of tokens to each other, in several heads.

Channels of queries, keys and values are the heads side by side.
"""

from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from dst_jax.ops.precision import at_least_single
from dst_jax.typing import Array, Bool, Float

Formulation: TypeAlias = Literal["plain", "xla", "cudnn"]


def attention(
    queries: Float[Array, "b n d"],
    keys: Float[Array, "b m d"],
    values: Float[Array, "b m d"],
    *,
    heads: int,
    kept: Bool[Array, "b m"] | None = None,
    formulation: Formulation | None = None,
) -> Float[Array, "b n d"]:
    r"""Returns what each token gathers from all that are kept, head by head.

    .. math:: y_i = \sum_j \mathrm{softmax}_j\Big(\frac{q_i \cdot k_j}{\sqrt{c}}\Big)
              v_j, \quad c = d / heads

    The softmax is computed in float32 at least.

    Args:
      queries: Queries.
      keys: Keys.
      values: Values.
      heads: Number of heads.
      kept: Whether a token is attended to; None means all are. At least one must be.
      formulation: "xla" or "cudnn", two of `jax.nn.dot_product_attention`, or "plain",
        which takes softmaxes of float64 in float64. None takes the default.
    """
    q, k, v = (_split(x, heads) for x in (queries, keys, values))
    chosen = formulation or default_attention_formulation(queries.dtype)
    mask = None if kept is None else jnp.asarray(kept)[:, None, None, :]
    if chosen == "plain":
        shares = _shares(q, k, mask)
        found = jnp.einsum("bhnm,bmhc->bnhc", shares.astype(v.dtype), v)
    else:
        found = jax.nn.dot_product_attention(q, k, v, mask=mask, implementation=chosen)
    return found.reshape(queries.shape)


def attention_shares(
    query: Float[Array, "b d"],
    keys: Float[Array, "b m d"],
    *,
    heads: int,
    kept: Bool[Array, "b m"] | None = None,
) -> Float[Array, "b m"]:
    """Returns how much one token attends to each other, the mean over heads.

    Args:
      query: The token's query.
      keys: Keys of all tokens.
      heads: Number of heads.
      kept: Whether a token is attended to; None means all are.

    Returns:
      Shares that add up to 1, in float32 at least.
    """
    q, k = _split(query[:, None], heads), _split(keys, heads)
    mask = None if kept is None else jnp.asarray(kept)[:, None, None, :]
    return jnp.mean(_shares(q, k, mask)[:, :, 0], axis=1)


def default_attention_formulation(dtype: DTypeLike) -> Formulation:
    """Returns the formulation for queries of this type.

    JAX's own attention takes softmaxes in float32, whatever the type is.
    """
    return "plain" if jnp.dtype(dtype) == jnp.float64 else "xla"


def _split(x: Array, heads: int) -> jax.Array:
    """Returns tokens with their channels split into heads, [b, n, heads, c]."""
    return jnp.asarray(x).reshape(*x.shape[:2], heads, -1)


def _shares(queries: Array, keys: Array, mask: Array | None) -> jax.Array:
    """Returns softmaxes over the keys, [b, heads, n, m]."""
    exact = at_least_single(queries.dtype)
    products = jnp.einsum(
        "bnhc,bmhc->bhnm", queries, keys, preferred_element_type=exact
    )
    logits = products * queries.shape[-1] ** -0.5
    if mask is not None:
        logits = jnp.where(mask, logits, -jnp.inf)
    return jax.nn.softmax(logits, axis=-1)
