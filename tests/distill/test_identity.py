"""What a run remembers of a term that its user wrote."""

import itertools
import linecache

from dst_jax.distill.identity import term_to_json

CELL = """import dataclasses
from dst_jax.distill import Parts, Term

@dataclasses.dataclass(frozen=True)
class Mine(Term):
    power: int = 2

    def __call__(self, view):
        return Parts([])  # {note}
"""
cells = itertools.count(1)


def written_in_a_cell(note):
    """A term as a notebook makes it: in a module without a file, its lines cached."""
    name, source = f"cell {next(cells)}", CELL.format(note=note)
    lines = source.splitlines(keepends=True)
    linecache.cache[name] = (len(source), None, lines, name)
    module = {"__name__": "a_notebook"}
    exec(compile(source, name, "exec"), module)
    return module["Mine"]()


def test_a_term_of_a_notebook_is_known_by_the_code_of_its_methods():
    first, again, other = map(written_in_a_cell, ("one", "one", "two"))
    values = term_to_json(first)
    assert values == term_to_json(again)
    digest = values.pop("source_sha256")
    assert values == {"class": "a_notebook.Mine", "weight": 1.0, "power": 2}
    assert term_to_json(other)["source_sha256"] != digest
