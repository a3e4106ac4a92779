"""QKV, the distance between queries, keys and values of tokens (LoReTrack)."""

import dataclasses
from collections.abc import Mapping

from dst_jax.arch import TrackerSpec
from dst_jax.distill.terms.tokens import TokenTerm
from dst_jax.errors import InputError
from dst_jax.require import require


@dataclasses.dataclass(frozen=True)
class Qkv(TokenTerm):
    """How far what a block attends with is from the teacher's, for search tokens.

    Queries, keys and values are read after their projection and before any scaling,
    heads side by side. The three distances are added up.

    Attributes:
      layers: Blocks that are compared, counted from 0; none takes the last one.
    """

    layers: tuple[int, ...] = ()

    def __post_init__(self):
        super().__post_init__()
        once = len(set(self.layers)) == len(self.layers)
        require(once, self, "layers", "name each block once")
        require(
            all(layer >= 0 for layer in self.layers),
            self,
            "layers",
            "blocks are counted from 0",
        )

    def maps(self, spec: TrackerSpec) -> tuple[str, ...]:
        """Returns "q", "k" and "v" of each block, such as "q11"."""
        layers = self.layers or (max(_depth(spec) - 1, 0),)
        return tuple(f"{kind}{layer}" for layer in layers for kind in "qkv")

    def check(
        self,
        student: TrackerSpec,
        teacher: TrackerSpec | None,
        peers: Mapping[str, TrackerSpec],
    ) -> None:
        """Checks what every term of tokens does, and that the last blocks agree.

        Raises:
          InputError: If a network lacks a block, they differ in width or field of view,
            or in depth where no layers are named.
        """
        if teacher is not None and not self.layers:
            ours, theirs = _depth(student), _depth(teacher)
            if ours and theirs and ours != theirs:
                raise InputError(
                    f"the student has {ours} blocks, the teacher {theirs}, so that "
                    "their last ones differ; name blocks that both have in Qkv.layers, "
                    f"from 0 to {min(ours, theirs) - 1}."
                )
        super().check(student, teacher, peers)


def _depth(spec: TrackerSpec) -> int:
    """Returns the number of blocks that have queries; 0 if the backbone has none."""
    names = {one.name for one in spec.maps(spec.input.train_search_px)}
    return sum(name[:1] == "q" and name[1:].isdigit() for name in names)
