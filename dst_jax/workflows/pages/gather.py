"""Gathers a page of trackers on data sets: entries, film, responses, provenance."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

from dst_jax.data import sequence as data
from dst_jax.data.readers.attributes import read_attributes
from dst_jax.evaluate.page import Benchmark, Network, Page, Response
from dst_jax.evaluate.page.markup import Cell, Section
from dst_jax.workflows.pages.entries import make_entries
from dst_jax.workflows.pages.film import make_responses, make_strips
from dst_jax.workflows.pages.makers import Maker, maker_of
from dst_jax.workflows.pages.provenance import data_facts, device, program


@dataclasses.dataclass(frozen=True, eq=False)
class Ran:
    """What trackers did on one data set.

    Attributes:
      dataset: Layout and folder, or another name.
      sequences: The data set.
      networks: What each tracker did, by its name.
      remarks: Sentences on how it was scored.
    """

    dataset: str
    sequences: Sequence[data.Sequence]
    networks: Mapping[str, Network]
    remarks: tuple[str, ...] = ()


def gather_page(
    title: str,
    runs: Sequence[Ran],
    bundles: Mapping[str, pathlib.Path],
    *,
    rows: Mapping[str, str] | None = None,
    about: Sequence[str] = (),
    more: Sequence[Section] = (),
) -> Page:
    """Returns the page of what trackers did.

    Args:
      title: Its title.
      runs: What they did on each data set, at least one.
      bundles: Folders of bundles by tracker; empty for result files.
      rows: How rows are called that have another name than their terms suggest, by
        tracker.
      about: Sentences below the verdict.
      more: Further sections.

    Raises:
      InputError: If a bundle, a frame or a file of attributes is faulty.
    """
    makers = {name: maker_of(path) for name, path in bundles.items()}
    for name, row in (rows or {}).items():
        makers[name] = dataclasses.replace(makers[name], row=row)
    benchmarks = [_benchmark(run, makers) for run in runs]
    strips = {
        run.dataset: make_strips(one, run.sequences)
        for run, one in zip(runs, benchmarks, strict=True)
    }
    facts = program() | (
        device({m.kernels for m in makers.values()}) if bundles else {}
    )
    facts["data"] = "; ".join(data_facts(run.dataset, run.sequences) for run in runs)
    facts["protocol"] = _protocol(benchmarks[0])
    return Page(
        title=title,
        benchmarks=benchmarks,
        provenance=facts,
        made=[_made(name, maker) for name, maker in makers.items()],
        about=about,
        strips=strips,
        responses=_responses(benchmarks[0], bundles, runs[0].sequences),
        more=more,
    )


def _benchmark(run: Ran, makers: Mapping[str, Maker]) -> Benchmark:
    names = [sequence.name for sequence in run.sequences]
    folder = run.dataset.partition(":")[2]
    attributes = read_attributes(folder, names) if folder else {}
    entries = make_entries(run.networks, makers)
    return Benchmark(run.dataset, entries, run.remarks, attributes)


def _protocol(benchmark: Benchmark) -> str:
    protocol = benchmark.entries[0].score.protocol
    return f"{protocol.name}, as {protocol.reproduces} has it"


def _responses(
    benchmark: Benchmark,
    bundles: Mapping[str, pathlib.Path],
    sequences: Sequence[data.Sequence],
) -> tuple[Response, ...]:
    """Returns what the first network of each entry responds to."""
    own = {entry.name: entry.networks[0].name for entry in benchmark.entries}
    known = {entry: bundles[name] for entry, name in own.items() if name in bundles}
    return make_responses(benchmark, known, sequences)


def _made(name: str, maker: Maker) -> dict[str, Cell]:
    return {
        "tracker": name,
        "student": maker.student or None,
        "row": maker.row or None,
        "seed": maker.seed,
        **maker.told,
    }
