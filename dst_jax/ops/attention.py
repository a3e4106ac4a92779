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
        products over one axis of examples and heads, with softmaxes of float64 in
        float64. cuDNN's kernels read no mask: with `kept`, "cudnn" is "xla". None takes
        the default.
    """
    chosen = formulation or default_attention_formulation(queries.dtype)
    if chosen == "cudnn" and kept is not None:
        chosen = "xla"
    if chosen == "plain":
        shares = _shares(queries, keys, heads, kept)
        own = _folded(values, heads)
        found = jnp.einsum("bnm,bmc->bnc", shares.astype(own.dtype), own)
        return _unfolded(found, heads)
    q, k, v = (
        jnp.asarray(x).reshape(*x.shape[:2], heads, -1) for x in (queries, keys, values)
    )
    mask = None if kept is None else jnp.asarray(kept)[:, None, None, :]
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
    shares = _shares(query[:, None], keys, heads, kept)
    return jnp.mean(shares.reshape(keys.shape[0], heads, -1), axis=1)


def default_attention_formulation(dtype: DTypeLike) -> Formulation:
    """Returns the formulation for queries of this type.

    On a CPU it is "plain", because gradients of JAX's own attention are products over
    two batch axes, for which oneDNN has no fast kernel: they take fifty times as long.
    JAX's takes softmaxes in float32, whatever the type is. cuDNN's has to be asked for.
    """
    exact = jnp.dtype(dtype) == jnp.float64
    return "plain" if exact or jax.default_backend() == "cpu" else "xla"


def _folded(x: Array, heads: int) -> Float[Array, "bh n c"]:
    """Returns tokens with one axis for examples and heads."""
    batch, count, width = x.shape
    split = jnp.asarray(x).reshape(batch, count, heads, width // heads)
    return split.swapaxes(1, 2).reshape(batch * heads, count, width // heads)


def _unfolded(x: Float[Array, "bh n c"], heads: int) -> Float[Array, "b n d"]:
    """Returns tokens with their heads side by side again."""
    split = x.reshape(-1, heads, *x.shape[1:])
    return split.swapaxes(1, 2).reshape(split.shape[0], x.shape[1], -1)


def _shares(
    queries: Array, keys: Array, heads: int, kept: Array | None
) -> Float[Array, "bh n m"]:
    """Returns softmaxes over the keys, with one axis for examples and heads."""
    exact = at_least_single(queries.dtype)
    q, k = _folded(queries, heads), _folded(keys, heads)
    products = jnp.einsum("bnc,bmc->bnm", q, k, preferred_element_type=exact)
    logits = products * q.shape[-1] ** -0.5
    if kept is not None:
        mask = jnp.repeat(jnp.asarray(kept), heads, axis=0)[:, None]
        logits = jnp.where(mask, logits, -jnp.inf)
    return jax.nn.softmax(logits, axis=-1)
