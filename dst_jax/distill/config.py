"""Chooses the terms of a run: a mapping of terms, and the rows of the papers."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Annotated

import tyro

from dst_jax.distill.term import Term
from dst_jax.distill.terms import Hard, Pair, Point, Response, Sharing, Soft, Task
from dst_jax.errors import InputError
from dst_jax.require import require


@dataclasses.dataclass(frozen=True)
class DistillConfig:
    """The terms of the objective by name; the default is TSsKD, eq. 16-23 and 33.

    A term of weight 0 is left out. The command line calls a term's options
    `--distill.NAME.OPTION`.

    Attributes:
      terms: Terms that are added up for every student, under their names in the logs.
      warmup_epochs: Epochs on the ground truth alone (weight 1) before the terms count.
    """

    # The command line leaves the field's own name out of its paths.
    terms: Annotated[Mapping[str, Term], tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=lambda: {
            "ah": Hard(),
            "ts": Soft(),
            "str": Response(),
            "ks": Sharing(),
        },
        hash=False,
    )
    warmup_epochs: float = 0.0

    def __post_init__(self):
        object.__setattr__(self, "terms", dict(self.terms))
        fits = 0.0 <= self.warmup_epochs < math.inf
        require(fits, self, "warmup_epochs", "must be finite and at least 0")
        own = [field.name for field in dataclasses.fields(self)]
        for name, term in self.terms.items():
            if not name.isidentifier() or name in own:
                raise InputError(
                    f"term {name!r}: a name is a word of letters, digits and _, and "
                    f"none of {', '.join(own)}."
                )
            check_term(name, term)
        if not self.active and not self.warmup_epochs:
            raise InputError(
                f"DistillConfig: {', '.join(self.terms) or 'there are no terms'}: all "
                "weights are 0; give one a weight."
            )

    @property
    def active(self) -> dict[str, Term]:
        """Returns the terms whose weight is not 0."""
        return {name: term for name, term in self.terms.items() if term.weight}

    def with_terms(self, **terms: Term) -> "DistillConfig":
        """Returns a copy with these terms, which replace those of equal names."""
        return dataclasses.replace(self, terms={**self.terms, **terms})


def check_term(name: str, term: object) -> None:
    """Checks that `term` is a frozen `Term` with a fit weight.

    Raises:
      InputError: If it is not.
    """
    if not isinstance(term, Term):
        raise InputError(
            f"term {name!r} is a {type(term).__name__}; give a frozen dataclass that "
            "inherits from dst_jax.distill.Term."
        )
    # A subclass without the decorator would silently lose its options.
    params = vars(type(term)).get("__dataclass_params__")
    if params is None or not params.frozen:
        raise InputError(
            f"term {name!r}: decorate {type(term).__name__} with "
            "@dataclasses.dataclass(frozen=True)."
        )
    fits = isinstance(term.weight, int | float) and 0.0 <= term.weight < math.inf
    require(fits, term, "weight", "must be finite and at least 0 (0 removes it)")


# The terms of each row of Table 4, then of Table 5.
ROWS: Mapping[str, tuple[str, ...]] = {
    "GT": ("gt",),
    "TS": ("ts",),
    "GT+TS": ("gt", "ts"),
    "AH+TS": ("ah", "ts"),
    "TS+STR": ("ts", "str"),
    "GT+TS+STR": ("gt", "ts", "str"),
    "AH+TS+STR": ("ah", "ts", "str"),
    "NOKD": ("gt",),
    "TSKD": ("ah", "ts", "str"),
    "TSsKD": ("ah", "ts", "str", "ks"),
}


# The paper's values with our readings of what it leaves open, every option stated, so
# that they stay what they are when a default moves.
PAPER: Mapping[str, Term] = {
    "ah": Hard(weight=0.1, margin=0.005, gate="anchor"),
    "ts": Soft(
        weight=1.0,
        temperature=1.0,
        direction="student_first",
        form="cell",
        reduction="family",
        anchors="positive",
    ),
    "str": Response(
        weight=100.0,
        layers=(3, 4, 5),
        template_cells="head",
        norm="l2",
        weighted=True,
        stop_weight=False,
        reduction="mse",
        scale="mean",
        resize=False,
    ),
    "ks": Sharing(
        weight=1.0,
        temperature=1.0,
        discount=0.5,
        margin=0.005,
        decay=0.9,
        norm="peers",
        gate="learner",
        gate_loss="task",
        gate_over="batch",
        anchors="all",
        reduction="mean",
        stop_peer=True,
    ),
}
# With this word before a row's name the row has the paper's values.
LITERAL = "literal"


def literal(config: DistillConfig) -> DistillConfig:
    """Returns `config` with the paper's values for the terms of TSsKD (`PAPER`).

    The warm-up and one's own terms stay, and so do stages that STR compares by their
    names: the paper's numbers are of plain chains.
    """
    response, paper = config.terms.get("str"), PAPER["str"]
    assert isinstance(paper, Response)
    if isinstance(response, Response) and isinstance(response.layers[0], str):
        paper = dataclasses.replace(paper, layers=response.layers)
    return config.with_terms(**{**PAPER, "str": paper})


def with_row(config: DistillConfig, row: str) -> DistillConfig:
    """Returns `config` with the terms of a row of Table 4 or 5 and no others.

    "literal:ROW" has the paper's values in place of the configuration's (see
    `literal`), and "literal" alone is literal:TSsKD. Otherwise the terms keep their
    weights, except for the ground truth. Without TS it has
    weight 1; beside TS it replaces AH and has the weight of AH, lambda. For SiamFC, GT
    and AH are the same loss. The terms of DLF, "point" and "pair", are there with
    weight 1 if the configuration has none.

    Args:
      config: A configuration with all of the row's terms; the ground truth and DLF's
        may be absent.
      row: One of `ROWS`, or names of the configuration's terms joined by "+", such as
        "ah+ts+mine" or "gt+point+pair"; "literal:" may stand before either.

    Raises:
      InputError: If there is no such row, or the configuration lacks one of its terms
        or weights it with 0.
    """
    word, separator, rest = row.partition(":")
    if word == LITERAL:
        return with_row(literal(config), rest if separator else "TSsKD")
    known = {"gt": Task(), "point": Point(), "pair": Pair(), **config.terms}
    spelt = (name if name in known else name.lower() for name in row.split("+"))
    names = ROWS.get(row, tuple(spelt))
    if row not in ROWS and (unknown := [n for n in names if n not in known]):
        raise InputError(
            f"row {row!r}: there is {', '.join(ROWS)}, or terms joined by +, of "
            f"{', '.join(known)}; {unknown[0]!r} is none; literal: before either takes "
            "the paper's values."
        )
    if "gt" in names:
        hard = known.get("ah", Hard()).weight
        alone = "ts" not in names
        known["gt"] = dataclasses.replace(known["gt"], weight=1.0 if alone else hard)
    for name in names:
        if name not in known or not known[name].weight:
            raise InputError(
                f"row {row} needs the term {name!r}, which the configuration lacks or "
                "weights with 0; use one that weights it."
            )
    return dataclasses.replace(config, terms={name: known[name] for name in names})
