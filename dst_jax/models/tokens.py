"""The transformer of a tracker of one stream, and the elimination of its tokens.

Tokens of the template come first, then those of the search image, row by row.
"""

import itertools
import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp

from dst_jax.arch.backbones.token import ROUNDING, TokenBackboneSpec, kept_cells
from dst_jax.models.blocks import FIRST, Block, Linear, Norm, Projected, attend, feed
from dst_jax.models.kinds import Kinds
from dst_jax.models.stem import ConvStem
from dst_jax.ops.attention import Formulation, attention_shares
from dst_jax.ops.precision import at_least_single
from dst_jax.typing import Array, Bool, Float, Int, Scalar

Role: TypeAlias = Literal["template", "search"]


class Stream(NamedTuple):
    """Tokens on their way through the blocks.

    Attributes:
      tokens: Tokens of the template, then those of the search image that are there.
      cells: Cells of the search tokens that are there, in order; None means all.
      kept: Whether the search token of a cell still counts; None means that all that
        are there do.
    """

    tokens: Float[Array, "b n d"]
    cells: Int[Array, "b m"] | None = None
    kept: Bool[Array, "b c"] | None = None


class Draws(NamedTuple):
    """What training draws and decides for the blocks.

    Attributes:
      paths: Factors on the halves of each block, [depth, 2, b]; 0 leaves a half out.
      shares: Share of the search tokens that each eliminating block keeps. Tokens are
        then marked, not taken out, because their number is not known beforehand.
    """

    paths: Float[Array, "n 2 b"] | None
    shares: Mapping[int, Scalar]


class Positions(nn.Module):
    """Learned positions of the cells of both images.

    Attributes:
      width: Channels of a token.
      cells: Number of cells of template and search image.
      kinds: Settings that all modules share.
    """

    width: int
    cells: Mapping[str, int]
    kinds: Kinds

    def setup(self) -> None:
        """Declares the positions of each image."""
        for role, count in self.cells.items():
            value = self.param(role, FIRST, (count, self.width), self.kinds.param_dtype)
            setattr(self, f"of_{role}", value)

    def __call__(self, role: Role) -> Float[Array, "c d"]:
        """Returns the positions of one image."""
        return self.kinds.learnt((*self.path, role), getattr(self, f"of_{role}"))


class TokenBackbone(nn.Module):
    """The parts "patch", "positions", "block0" and so on, and "norm".

    Attributes:
      spec: The backbone.
      kinds: Settings that all modules share.
      template_side: Cells per side of the template.
      search_side: Cells per side of the search image.
      scanned: Whether neighbouring blocks of equal form are computed in a loop, which
        is compiled once.
      formulation: That of `ops.attention`.
    """

    spec: TokenBackboneSpec
    kinds: Kinds
    template_side: int
    search_side: int
    scanned: bool = False
    formulation: Formulation | None = None

    def setup(self) -> None:
        """Declares all parts."""
        spec, kinds = self.spec, self.kinds
        cells = {"template": self.template_side**2, "search": self.search_side**2}
        if spec.stem == "conv":
            self.patch = ConvStem(spec, kinds)
        else:
            self.patch = Linear(3 * spec.patch**2, spec.width, kinds)
        self.positions = Positions(spec.width, cells, kinds)
        for name in spec.blocks:
            setattr(self, name, Block(spec, kinds))
        self.norm = Norm(spec.width, kinds)

    def embed(
        self, images: Mapping[Role, Float[Array, "_ _ _ 3"]], *, train: bool
    ) -> dict[Role, Float[Array, "_ _ d"]]:
        """Returns the tokens of images with their positions, by role.

        Args:
          images: Images of one role or of both; a stem of convolutions normalises them
            by common statistics in training.
          train: Whether it uses and updates the batch's statistics.
        """
        maps = [values.astype(self.kinds.dtype) for values in images.values()]
        if isinstance(self.patch, ConvStem):
            tokens = self.patch(maps, train=train)
        else:
            linear, size = self.patch(), self.spec.patch
            tokens = [linear(patches_of(x, size)) for x in maps]
        return {
            role: found + self.positions(role).astype(found.dtype)[None]
            for role, found in zip(images, tokens, strict=True)
        }

    def __call__(
        self,
        template: Float[Array, "k c d"],
        search: Float[Array, "b e d"],
        *,
        draws: Draws | None = None,
        taps: Collection[str] | None = (),
    ) -> dict[str, dict[str, Float[Array, "b h w d"]]]:
        """Returns the maps of both images, by role and name.

        Args:
          template: Tokens of templates, one for each search image or one for all.
          search: Tokens of search images.
          draws: What training decides; None takes tokens out as in tracking.
          taps: Names of maps that are wanted beside "norm", such as "q3"; None for all.
        """
        batch, maps = search.shape[0], {"template": {}, "search": {}}
        template = jnp.broadcast_to(template, (batch, *template.shape[1:]))
        stream = Stream(jnp.concatenate([template, search], axis=1))
        for run in self._runs(taps):
            if len(run) > 1:
                stream = self._loop(stream, run, draws)
                continue
            stream, found = self._single(stream, run[0], draws)
            for kind, values in found.items():
                if taps is None or kind in taps:
                    self._put(maps, kind, values)
        last = self.norm()(stream.tokens, epsilon=self.spec.norm_epsilon)
        self._put(maps, "norm", stream._replace(tokens=last))
        return maps

    def paths(self, uniform: Float[Array, "b n 2"]) -> Float[Array, "n 2 b"]:
        """Returns the factors on the halves of blocks from numbers in [0, 1).

        A half that stays is scaled up, so that the mean is 1. Frozen blocks stay.
        """
        every = zip(self.spec.blocks, self.spec.drop_rates, strict=True)
        own = [0.0 if self.kinds.holds((*self.path, n)) else rate for n, rate in every]
        rates = jnp.array(own, uniform.dtype)[:, None, None]
        stays = jnp.moveaxis(uniform, 0, -1) >= rates
        return stays.astype(uniform.dtype) / (1.0 - rates)

    def _runs(self, taps: Collection[str] | None) -> Iterator[list[int]]:
        """Yields the blocks that are computed together, first to last."""
        apart = set(dict(self.spec.eliminate))
        if not self.scanned or taps is None:
            apart |= set(range(self.spec.depth))
        else:
            apart |= {int(name[1:]) for name in taps if name != "norm"}
        numbers = range(self.spec.depth)
        for alone, group in itertools.groupby(numbers, lambda block: block in apart):
            blocks = list(group)
            yield from ([block] for block in blocks) if alone else [blocks]

    def _loop(self, stream: Stream, run: list[int], draws: Draws | None) -> Stream:
        """Returns the stream after neighbouring blocks that are computed in a loop."""
        every = [getattr(self, f"block{block}")() for block in run]
        values = jax.tree.map(lambda *leaves: jnp.stack(leaves), *every)
        paths = None
        if draws is not None and draws.paths is not None:
            paths = draws.paths[run[0] : run[-1] + 1]
        kept = self._attended(stream)

        def one(tokens: Array, now: Any) -> tuple[Array, None]:
            block, path = now
            first, second = (None, None) if path is None else path
            fixed = {"kept": kept, "formulation": self.formulation}
            tokens, _ = attend(block, tokens, self.spec, path=first, **fixed)
            return feed(block, tokens, self.spec, path=second), None

        tokens, _ = jax.lax.scan(one, stream.tokens, (values, paths))
        return stream._replace(tokens=tokens)

    def _single(
        self, stream: Stream, index: int, draws: Draws | None
    ) -> tuple[Stream, dict[str, Stream]]:
        """Returns the stream after one block, and queries, keys and values by name."""
        block = getattr(self, f"block{index}")()
        first = second = None
        if draws is not None and draws.paths is not None:
            first, second = draws.paths[index]
        tokens, projected = attend(
            block,
            stream.tokens,
            self.spec,
            kept=self._attended(stream),
            path=first,
            formulation=self.formulation,
        )
        found = {
            f"{kind}{index}": stream._replace(tokens=one)
            for kind, one in zip("qkv", projected, strict=True)
        }
        stream = stream._replace(tokens=tokens)
        if index in dict(self.spec.eliminate):
            scores = self._scores(stream, projected)
            stream = self._eliminated(stream, scores, index, draws)
        return stream._replace(
            tokens=feed(block, stream.tokens, self.spec, path=second)
        ), found

    def _attended(self, stream: Stream) -> Bool[Array, "b n"] | None:
        """Returns which tokens others attend to; None means all."""
        if stream.kept is None:
            return None
        return jnp.pad(
            stream.kept, ((0, 0), (self.template_side**2, 0)), constant_values=True
        )

    def _scores(self, stream: Stream, found: Projected) -> Float[Array, "b m"]:
        """Returns how much the middle token of the template attends to the search."""
        side = self.template_side
        # Grids of an even side have four middle cells, of which the first counts.
        middle = (side - 1) // 2 * (side + 1)
        shares = attention_shares(
            found.q[:, middle],
            found.k,
            heads=self.spec.heads,
            kept=self._attended(stream),
        )
        return shares[:, side**2 :]

    def _eliminated(
        self, stream: Stream, scores: Array, index: int, draws: Draws | None
    ) -> Stream:
        """Returns the stream without the search tokens of the lowest scores."""
        if draws is not None and index in draws.shares:
            return _marked(stream, scores, draws.shares[index])
        share, always = dict(self.spec.eliminate)[index], self.template_side**2
        number = kept_cells(scores.shape[1], share)
        places = jnp.sort(jax.lax.top_k(scores, number)[1], axis=1)
        tokens = jnp.concatenate(
            [
                stream.tokens[:, :always],
                jnp.take_along_axis(
                    stream.tokens[:, always:], places[..., None], axis=1
                ),
            ],
            axis=1,
        )
        cells = places
        if stream.cells is not None:
            cells = jnp.take_along_axis(stream.cells, places, axis=1)
        return stream._replace(tokens=tokens, cells=cells)

    def _put(self, maps: dict[str, Any], name: str, stream: Stream) -> None:
        """Adds the maps of a stream; cells whose token is gone are zero."""
        always = self.template_side**2
        values = stream.tokens.astype(at_least_single(stream.tokens.dtype))
        batch, width = values.shape[0], values.shape[2]
        template, search = values[:, :always], values[:, always:]
        if stream.kept is not None:
            search = jnp.where(stream.kept[..., None], search, 0.0)
        if stream.cells is not None:
            empty = jnp.zeros((batch, self.search_side**2, width), values.dtype)
            rows = jnp.arange(batch)[:, None]
            search = empty.at[rows, stream.cells].set(search)
        for role, x in (("template", template), ("search", search)):
            side = math.isqrt(x.shape[1])
            maps[role][name] = x.reshape(batch, side, side, width)


def _marked(stream: Stream, scores: Array, share: Scalar) -> Stream:
    """Returns the stream with marks on the search tokens that still count.

    Args:
      stream: Tokens, of which none has been taken out.
      scores: Score of each search token.
      share: Share of those that counted that shall count from now on.
    """
    kept = stream.kept
    if kept is None:
        kept = jnp.ones(scores.shape, bool)
    before = jnp.sum(kept, axis=1, keepdims=True).astype(scores.dtype)
    number = jnp.ceil(jnp.asarray(share, scores.dtype) * before * (1.0 - ROUNDING))
    # Of equal scores the first stays, as `top_k` chooses.
    order = jnp.argsort(-jnp.where(kept, scores, -1.0), axis=1, stable=True)
    rank = jnp.argsort(order, axis=1).astype(scores.dtype)
    return stream._replace(kept=kept & (rank < number))


def patches_of(images: Float[Array, "b h w 3"], size: int) -> Float[Array, "b c p"]:
    """Returns the values of each square of `size` pixels, row by row."""
    batch, height, width, _ = images.shape
    rows, columns = height // size, width // size
    split = images.reshape(batch, rows, size, columns, size, 3)
    return split.swapaxes(2, 3).reshape(batch, rows * columns, -1)
