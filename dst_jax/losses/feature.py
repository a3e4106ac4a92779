"""Feature distillation (DLF): a student's features imitate its teacher's.

Point by point, the features of a cell are compared themselves, after an adapter has
brought the student's to the teacher's channels. Pair by pair, it is compared how
similar any two cells are, which needs no adapter. Maps must have the same sides.
"""

from typing import Literal, TypeAlias, get_args

import jax
import jax.numpy as jnp

from dst_jax.errors import InputError
from dst_jax.typing import Array, Float

PointForm: TypeAlias = Literal["mse", "l2"]
PairForm: TypeAlias = Literal["direct", "blockwise", "gram"]
PAIR_FORMS: tuple[PairForm, ...] = get_args(PairForm)

# Under the root of the 2-norm, whose gradient is not finite at 0.
_FLOOR = 1e-16
# Rows of the similarity matrix that "blockwise" holds at a time, about.
_BLOCK_ROWS = 64
# Products of lower precision would hide differences of similarities near agreement.
_EXACT = jax.lax.Precision.HIGHEST


def point_distance(
    student: Float[Array, "b h w d"],
    teacher: Float[Array, "b h w d"],
    *,
    form: PointForm = "mse",
) -> Float[Array, " b"]:
    r"""Returns how far features are from the teacher's, one value per example.

    .. math:: L = \frac{1}{h w d} \sum_{i,c} (T_{ic} - S_{ic})^2
              \quad\text{or}\quad L = \| T - S \|_2

    Args:
      student: The student's features, adapted to the teacher's channels.
      teacher: The teacher's features; no gradient reaches them.
      form: "mse" is the mean square over cells and channels, "l2" the paper's norm. A
        floor under its root gives it the gradient 0 at 0.

    Raises:
      InputError: If `form` is unknown.

    Example:
      >>> t = jnp.ones((1, 2, 2, 4))
      >>> point_distance(t - 3.0, t).item()
      9.0
      >>> point_distance(t - 3.0, t, form="l2").item()
      12.0

    References:
      Liu et al., ICPR 2020 (DLF), see docs/papers.md.
    """
    wide = _wide(student.dtype)
    target = jax.lax.stop_gradient(teacher).astype(wide)
    squares = jnp.square(student.astype(wide) - target)
    if form == "mse":
        return jnp.mean(squares, axis=(-3, -2, -1))
    if form != "l2":
        raise InputError(f'form={form!r}: must be "mse" or "l2".')
    total = jnp.sum(squares, axis=(-3, -2, -1))
    return jnp.sqrt(jnp.maximum(total, jnp.asarray(_FLOOR, wide)))


def pair_distance(
    student: Float[Array, "b h w d"],
    teacher: Float[Array, "b h w e"],
    *,
    form: PairForm | None = None,
) -> Float[Array, " b"]:
    r"""Returns how far the similarities of cells are from the teacher's, per example.

    With a and b the features of student and teacher in each of n = h w cells, divided
    by their 2-norms,

    .. math:: L = \sum_{ij} \Big( \frac{a_i \cdot a_j}{n} -
              \frac{b_i \cdot b_j}{n} \Big)^2
              = \frac{1}{n^2} \sum_{ij} (a_i \cdot a_j - b_i \cdot b_j)^2

    A cell whose features are all zero is similar to none.

    Args:
      student: The student's features.
      teacher: The teacher's features; no gradient reaches them.
      form: Way of computing it. "direct" holds both matrices of similarities.
        "blockwise" holds some of their rows at a time, in the backward pass too, which
        computes them again. "gram" has products of channels with channels in their
        place: (\|A'A\|^2 + \|B'B\|^2 - 2 \|A'B\|^2) / n^2, which loses digits where
        the two agree; it computes in float32 at least. None takes the cheaper of
        "direct" and "gram", see `cheapest_pair_form`.

    Raises:
      InputError: If `form` is unknown.

    Example:
      >>> s = jnp.array([[[[1.0, 0.0], [0.0, 1.0]]]])
      >>> pair_distance(s, jnp.ones((1, 1, 2, 4))).item()
      0.5

    References:
      Liu et al., ICPR 2020 (DLF), see docs/papers.md.
    """
    if form is None:
        cells = student.shape[-3] * student.shape[-2]
        form = cheapest_pair_form(cells, student.shape[-1], teacher.shape[-1])
    if form not in PAIR_FORMS:
        raise InputError(f"form={form!r}: must be one of {', '.join(PAIR_FORMS)}.")
    wide = _wide(student.dtype)
    ours = _directions(student.astype(wide))
    theirs = _directions(jax.lax.stop_gradient(teacher).astype(wide))
    compute = {"direct": _direct, "blockwise": _blockwise, "gram": _gram}[form]
    cells = ours.shape[-3] * ours.shape[-2]
    return compute(ours, theirs) / jnp.asarray(cells**2, wide)


def cheapest_pair_form(
    cells: int, student_channels: int, teacher_channels: int
) -> Literal["direct", "gram"]:
    """Returns the form of `pair_distance` that multiplies least.

    "direct" takes n^2 (s + t) products for n cells, s and t channels, "gram" n (s^2 +
    t^2 + s t).

    Args:
      cells: Cells of a map.
      student_channels: Channels of the student's map.
      teacher_channels: Channels of the teacher's map.

    Example:
      >>> [cheapest_pair_form(n, 248, 512) for n in (25, 441, 592, 593)]
      ['direct', 'direct', 'direct', 'gram']
    """
    direct = cells * (student_channels + teacher_channels)
    both = student_channels * teacher_channels
    gram = student_channels**2 + teacher_channels**2 + both
    return "gram" if gram < direct else "direct"


def _wide(dtype: jnp.dtype) -> jnp.dtype:
    return dtype if jnp.finfo(dtype).bits >= 32 else jnp.dtype(jnp.float32)


def _directions(features: Array) -> Array:
    """Divides each cell's features by their norm; zeros stay, with gradient zero."""
    # As in losses.response: a constant factor changes nothing, and without it squares
    # could overflow or vanish.
    peak = jax.lax.stop_gradient(jnp.max(jnp.abs(features), axis=-1, keepdims=True))
    scaled = features / jnp.where(peak > 0.0, peak, 1.0)
    total = jnp.sum(jnp.square(scaled), axis=-1, keepdims=True)
    return scaled / jnp.sqrt(jnp.where(total > 0.0, total, 1.0))


def _similarities(rows: Array, cells: Array) -> Array:
    return jnp.einsum("bhwc,bijc->bhwij", rows, cells, precision=_EXACT)


def _direct(ours: Array, theirs: Array) -> Array:
    difference = _similarities(ours, ours) - _similarities(theirs, theirs)
    return jnp.sum(jnp.square(difference), axis=(1, 2, 3, 4))


def _blockwise(ours: Array, theirs: Array) -> Array:
    height, width = ours.shape[1:3]
    whole = [n for n in range(1, height + 1) if height % n == 0]
    lines = max((n for n in whole if n * width <= _BLOCK_ROWS), default=1)

    def block(first: Array) -> Array:
        mine, other = (
            jax.lax.dynamic_slice_in_dim(cells, first, lines, axis=1)
            for cells in (ours, theirs)
        )
        difference = _similarities(mine, ours) - _similarities(other, theirs)
        return jnp.sum(jnp.square(difference), axis=(1, 2, 3, 4))

    def add(total: Array, first: Array) -> tuple[Array, None]:
        # The backward pass gets nothing of a block but its number.
        return total + jax.checkpoint(block, prevent_cse=False)(first), None

    start = jnp.zeros(ours.shape[:1], ours.dtype)
    firsts = jnp.arange(0, height, lines, dtype=jnp.int32)
    return jax.lax.scan(add, start, firsts)[0]


def _gram(ours: Array, theirs: Array) -> Array:
    def square(one: Array, other: Array) -> Array:
        products = jnp.einsum("bhwc,bhwd->bcd", one, other, precision=_EXACT)
        return jnp.sum(jnp.square(products), axis=(1, 2))

    return square(ours, ours) + square(theirs, theirs) - 2.0 * square(ours, theirs)
