"""The rows of DLF's table, which was never published, and values of its terms."""

import pathlib
from collections.abc import Iterator, Sequence

from dst_jax.train import read_metrics

TABLE = "DLF"
# What each student learns from, as rows of `distill.with_row`.
ROWS = {
    "tracking only": "gt",
    "+ point": "gt+point",
    "+ pair": "gt+pair",
    "DLF": "gt+point+pair",
    "TSsKD": "TSsKD",
    "DLF + TSsKD": "ah+ts+str+ks+point+pair",
}


def rows_of(students: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Yields name, terms and student of every row, all rows of a student in a run.

    Args:
      students: The students' names.
    """
    for student in students:
        for row, terms in ROWS.items():
            yield row, terms, student


def last_terms(metrics: pathlib.Path, name: str) -> dict[str, float]:
    """Returns the values of a student's terms, weighted, in the last report of a run.

    Args:
      metrics: The file `metrics.jsonl`.
      name: Name of the student.

    Raises:
      InputError: If the file is damaged.
    """
    start, found = f"loss/{name}/", dict[str, float]()
    for row in read_metrics(metrics):
        own = {k.removeprefix(start): v for k, v in row.items() if k.startswith(start)}
        found = own or found
    return found
