"""The results of the paper's ablations, and a comparison of the order of their rows.

The numbers are those of Liu et al., arXiv 1907.10586: Tables 4 and 5, on OTB-100, and
Table 6, on VOT2019, LaSOT and TrackingNet. Fig. 6 prints none. Networks, data and
length of training differ from those here, so only the order of rows can be compared.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

# Precision at 20 px and AUC of the dull student.
_TABLE_4: dict[str, dict[str, tuple[float, float]]] = {
    "SiamRPN": {
        "GT": (0.638, 0.429),
        "TS": (0.796, 0.586),
        "GT+TS": (0.795, 0.579),
        "AH+TS": (0.800, 0.591),
        "TS+STR": (0.811, 0.608),
        "GT+TS+STR": (0.812, 0.606),
        "AH+TS+STR": (0.825, 0.624),
        "teacher": (0.853, 0.643),
    },
    # AH is GT for SiamFC, and its rows are called GT.
    "SiamFC": {
        "GT": (0.707, 0.523),
        "TS": (0.711, 0.535),
        "GT+TS": (0.710, 0.531),
        "TS+STR": (0.742, 0.548),
        "GT+TS+STR": (0.741, 0.557),
        "teacher": (0.772, 0.581),
    },
}
# AUC of the dull and of the intelligent student.
_TABLE_5: dict[str, dict[str, tuple[float, float]]] = {
    "SiamRPN": {
        "NOKD": (0.429, 0.630),
        "TSKD": (0.624, 0.641),
        "TSsKD": (0.646, 0.644),
        "teacher": (0.642, 0.642),
    },
    "SiamFC": {
        "NOKD": (0.523, 0.566),
        "TSKD": (0.557, 0.576),
        "TSsKD": (0.573, 0.579),
        "teacher": (0.581, 0.581),
    },
}
# SiamRPN++ on three benchmarks, none of them ours: of the student on ResNet-18, then on
# ResNet-50, in the order of `TABLE_6_VALUES`.
_TABLE_6: dict[str, tuple[tuple[float, ...], ...]] = {
    "teacher": 2 * ((0.302, 0.609, 0.477, 0.509, 0.594, 0.715, 0.669, 26),),
    "w/o": (
        (0.255, 0.586, 0.552, 0.443, 0.520, 0.672, 0.617, 75),
        (0.285, 0.599, 0.482, 0.475, 0.572, 0.692, 0.654, 35),
    ),
    "with": (
        (0.271, 0.588, 0.517, 0.465, 0.544, 0.676, 0.623, 75),
        (0.288, 0.603, 0.487, 0.481, 0.579, 0.699, 0.657, 35),
    ),
}
TABLE_6_VALUES = {
    "vot2019_eao": "VOT2019 EAO",
    "vot2019_accuracy": "A",
    "vot2019_robustness": "R",
    "lasot_auc": "LaSOT AUC",
    "lasot_precision_norm": "P_norm",
    "trackingnet_auc": "TrackingNet AUC",
    "trackingnet_precision": "P",
    "fps": "fps",
}


def paper_scores(
    family: str, table: str, row: str, *, student: int = 0
) -> dict[str, float]:
    """Returns the paper's scores of a row; the result is empty if it has none.

    Args:
      family: "SiamRPN", "SiamFC" or "SiamRPN++".
      table: "Table 4", "Table 5", "Table 6" or "Fig. 6".
      row: Name of the row in the paper, or "teacher".
      student: 0 for the dull student, 1 for the intelligent one.

    Example:
      >>> paper_scores("SiamFC", "Table 4", "TS")
      {'precision_20': 0.711, 'success_auc': 0.535}
    """
    of_dull, of_both = _TABLE_4.get(family, {}), _TABLE_5.get(family, {})
    if table == "Table 4" and row in of_dull and student == 0:
        precision, auc = of_dull[row]
        return {"precision_20": precision, "success_auc": auc}
    if table == "Table 5" and row in of_both:
        return {"success_auc": of_both[row][student]}
    how = row.split()[-1]  # "r50 w/o" is a student and how it was trained
    if table == "Table 6" and family == "SiamRPN++" and how in _TABLE_6:
        return dict(zip(TABLE_6_VALUES, _TABLE_6[how][student], strict=True))
    return {}


@dataclasses.dataclass(frozen=True)
class RowPair:
    """Two rows of a table with their distance in the paper and here.

    Attributes:
      better: The row that is better in the paper.
      worse: The other row.
      paper: Score of `better` less that of `worse` in the paper.
      ours: The same difference here, a mean over the seeds that both rows have.
      ahead: Number of those seeds for which `better` is better here.
      seeds: Number of those seeds.
    """

    better: str
    worse: str
    paper: float
    ours: float
    ahead: int
    seeds: int

    @property
    def agrees(self) -> bool:
        """Returns whether the better row of the paper is better here as well."""
        return self.ours > 0.0


def compare_pairs(
    ours: Mapping[str, Mapping[int, float]],
    paper: Mapping[str, float],
    *,
    skip: Sequence[frozenset[str]] = (),
) -> list[RowPair]:
    """Returns all pairs of rows that have scores both here and in the paper.

    Pairs without a common seed, and rows of equal scores in the paper, are left out.

    Args:
      ours: Scores here by row and seed.
      paper: Scores in the paper by row.
      skip: Pairs to leave out, because both rows are the same training.

    Example:
      >>> found = compare_pairs({"a": {0: 0.5}, "b": {0: 0.25}}, {"a": 1.0, "b": 2.0})
      >>> [(p.better, p.ours, p.agrees) for p in found]
      [('b', -0.25, False)]
    """
    pairs = []
    rows = [row for row in ours if row in paper]
    for two in itertools.combinations(rows, 2):
        worse, better = sorted(two, key=lambda row: paper[row])
        seeds = [seed for seed in ours[better] if seed in ours[worse]]
        if not seeds or paper[better] == paper[worse] or frozenset(two) in skip:
            continue
        gaps = [ours[better][seed] - ours[worse][seed] for seed in seeds]
        pairs.append(
            RowPair(
                better,
                worse,
                paper[better] - paper[worse],
                sum(gaps) / len(gaps),
                sum(gap > 0.0 for gap in gaps),
                len(seeds),
            )
        )
    return pairs


def kendall(pairs: Sequence[RowPair]) -> float:
    """Returns Kendall's tau-a, (agreeing - disagreeing) / all.

    A pair that is equal here counts as neither agreeing nor disagreeing.

    Args:
      pairs: Pairs of rows; at least one.
    """
    against = sum(pair.ours < 0.0 for pair in pairs)
    return (sum(pair.agrees for pair in pairs) - against) / len(pairs)


def statement(where: str, pairs: Sequence[RowPair]) -> str:
    """Returns a sentence about the order of rows, with a list of the exceptions.

    Args:
      where: Words that begin the sentence: table, student, metric and data set.
      pairs: Pairs of rows; at least one.
    """
    agreeing = sum(pair.agrees for pair in pairs)
    text = (
        f"{where}: {agreeing} of {len(pairs)} pairs of rows are in the paper's order "
        f"(Kendall's tau {signed(kendall(pairs))})."
    )
    others = [_exception(pair) for pair in pairs if not pair.agrees]
    return f"{text} Not so: {'; '.join(others)}." if others else text


def _exception(pair: RowPair) -> str:
    paper = f"{signed(pair.paper)} in the paper"
    if pair.ours == 0.0:
        return f"{pair.better} and {pair.worse} are equal ({paper})"
    times = f"ahead in {pair.ahead} of {pair.seeds} seeds"
    gap = signed(pair.ours)
    return f"{pair.better} less {pair.worse} is {gap} ({times}; {paper})"


def signed(value: float) -> str:
    """Returns a number with sign and three decimals, without a zero before the point.

    Example:
      >>> signed(0.0123), signed(-0.5), signed(1.0)
      ('+.012', '-.500', '+1.000')
    """
    return f"{value:+.3f}".replace("+0.", "+.").replace("-0.", "-.")
