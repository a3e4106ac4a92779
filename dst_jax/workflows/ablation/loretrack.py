"""The rows of LoReTrack's table: what each student learns from, and how it is shown."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dst_jax.arch import TrackerSpec, tracker_cost
from dst_jax.workflows.ablation.cells import Shown, decimals, with_spread
from dst_jax.workflows.ablation.order import METRICS
from dst_jax.workflows.pace import STAGES

TABLE = "LoReTrack"
# What each student learns from, as rows of `distill.with_row`.
ROWS = {
    "no KD": "gt",
    "QKV": "gt+qkv",
    "Disc": "gt+disc",
    "QKV + Disc": "gt+qkv+disc",
}
_HEADINGS = ("row", "student", "px", "n", "G MACs", "with attention")
# AUC on LaSOT, LaSOText, TrackingNet and UAV123, AO on GOT-10k, and frames/s on a GPU
# (A5500) or a CPU (i9-11900K), as the project's README has them.
_README = (
    ("256", "70.3", "51.3", "73.5", "82.9", "70.6", "130 GPU"),
    ("192", "68.6", "50.0", "71.5", "80.9", "69.9", "186 GPU"),
    ("128", "64.9", "46.4", "64.3", "77.7", "69.0", "25 CPU"),
    ("96", "61.0", "45.1", "58.9", "74.0", "67.1", "31 CPU"),
)
_SETS = ("px", "LaSOT", "LaSOText", "GOT-10k AO", "TrackingNet", "UAV123", "fps")


def rows_of(students: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Yields row, terms and student of every row, all rows of a student in a run.

    Args:
      students: The students' names.
    """
    for student in students:
        for row, terms in ROWS.items():
            yield row, terms, student


def network_json(spec: TrackerSpec) -> dict[str, Any]:
    """Returns what the table shows of a network: its search crop and multiply-adds."""
    cost = tracker_cost(spec)
    return {
        "search_px": spec.input.search_px,
        "macs": cost.template_macs + cost.search_macs,
        "attention_macs": cost.attention_macs,
    }


def loretrack_tables(report: Mapping[str, Any]) -> Iterator[Shown]:
    """Yields the tables of LoReTrack, if the report has its rows.

    Args:
      report: The report, as `ablation_json` makes it.
    """
    lines = [line for line in report["lines"] if line["table"] == TABLE]
    if not lines:
        return
    headings = (*_HEADINGS, *METRICS.values(), "fps")
    for dataset in report["datasets"]:
        rows = [_cells(line, dataset) for line in lines]
        for name, outcome in report["references"].items():
            rows.append(_reference_cells(name, outcome, dataset))
        title = f"{TABLE}: one teacher at lower resolutions, on {dataset}"
        yield Shown(title, headings, rows)
    if speeds := report.get("speeds"):
        yield _of_speeds(speeds)
    readme = [list(row) for row in _README]
    note = (
        "With both terms, trained on four data sets; rows without were not published."
    )
    yield Shown(f"{TABLE} in its README", _SETS, readme, [note], words=1)


def _cells(line: Mapping[str, Any], dataset: str) -> list[str]:
    scores, network = line["scores"][dataset], line["network"]
    every = network["macs"] + network["attention_macs"]
    return [
        line["row"],
        line["student"],
        str(network["search_px"]),
        str(len(line["seeds"])),
        _giga(network["macs"]),
        _giga(every),
        *(with_spread(scores[metric]) for metric in METRICS),
        f"{scores['fps']['mean']:.0f}",
    ]


def _reference_cells(name: str, outcome: Mapping[str, Any], dataset: str) -> list[str]:
    scores = outcome["scores"][dataset]
    fps = scores["fps"]
    cells = [decimals(scores[metric]) for metric in METRICS]
    return [name, *[""] * 5, *cells, "" if fps is None else f"{fps:.0f}"]


def _of_speeds(speeds: Mapping[str, Any]) -> Shown:
    """Returns the table of every network's speeds on every device that was tried."""
    rows = [
        [own["device"], name, *(_frames(stages[stage]) for stage in STAGES)]
        for own in (speeds, *speeds["others"])
        for name, stages in own["frames_per_s"].items()
    ]
    note = (
        "network: on crops that are cut. crop + network: from frames in memory. one "
        f"video: from files. Medians of the first frames of {speeds['video']}, the "
        "networks taking turns. On a machine with a GPU, the same command with "
        "JAX_PLATFORMS=cpu adds the CPU's."
    )
    headings = ("device", "tracker", *STAGES.values())
    return Shown(f"{TABLE}: frames/s", headings, rows, [note], words=2)


def _frames(speed: float) -> str:
    return f"{speed:.0f}" if speed >= 100.0 else f"{speed:.1f}"


def _giga(macs: int) -> str:
    return f"{macs / 1e9:.3f}"
