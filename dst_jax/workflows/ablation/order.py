"""Compares the order of an ablation's rows with the paper's, table by table."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dst_jax.workflows.ablation.paper import compare_pairs, kendall, statement

METRICS = {"success_auc": "AUC", "precision_20": "P@20"}
SHUT = "shut"
# The paper's figure beside our metric. Table 6 has none on data like ours; LaSOT orders
# its rows as its other data sets do.
_PAPERS = {"Table 6": {"success_auc": "lasot_auc"}}
_SAME = {metric: metric for metric in METRICS}


def order_of_rows(
    lines: Sequence[Mapping[str, Any]],
    dataset: str,
    *,
    teacher: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Returns comparisons of the order of rows, by table, student and metric.

    The rows of Table 6 are compared with one another whatever their students.

    Args:
      lines: Lines of the report.
      dataset: Name of the data set.
      teacher: The teacher as a line of Table 6, or None.
    """
    found = []
    for (table, student), group in _groups([*lines, *([teacher] if teacher else [])]):
        skip = _unshared(group)
        for metric, paper_metric in _PAPERS.get(table, _SAME).items():
            ours = {
                x["row"]: dict(
                    zip(x["seeds"], x["scores"][dataset][metric]["values"], strict=True)
                )
                for x in group
            }
            paper = {
                x["row"]: x["paper"][paper_metric]
                for x in group
                if paper_metric in x["paper"]
            }
            pairs = compare_pairs(ours, paper, skip=skip)
            if not pairs:
                continue
            whose = f", {student}" if student else ""
            text = statement(f"{table}{whose}, {METRICS[metric]} on {dataset}", pairs)
            if skip:
                text += " TSsKD is not compared with TSKD: its gates never opened."
            if table in _PAPERS:
                text += " The paper's order and gaps are those of AUC on LaSOT."
            found.append(
                {
                    "table": table,
                    "student": student,
                    "metric": metric,
                    "dataset": dataset,
                    "agreeing": sum(pair.agrees for pair in pairs),
                    "pairs": len(pairs),
                    "kendall_tau": kendall(pairs),
                    "statement": text,
                }
            )
    return found


def _groups(
    lines: Sequence[Mapping[str, Any]],
) -> Iterable[tuple[tuple[str, str | None], list[Mapping[str, Any]]]]:
    """Returns the lines that are compared with one another, by table and student."""
    groups: dict[tuple[str, str | None], list[Mapping[str, Any]]] = {}
    for line in lines:
        student = None if line["table"] == "Table 6" else line["student"]
        groups.setdefault((line["table"], student), []).append(line)
    return groups.items()


def _unshared(group: Iterable[Mapping[str, Any]]) -> list[frozenset[str]]:
    """Returns the pair TSKD and TSsKD if no gate opened, as they are then one."""
    rows = {line["row"]: line.get("gates") for line in group}
    shut = "TSKD" in rows and rows.get("TSsKD") == SHUT
    return [frozenset({"TSKD", "TSsKD"})] if shut else []
