"""Makes the entries of a page: which trackers are one student's, or the teacher."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dst_jax.evaluate.page import PLAIN, SHARING, Entry, Network
from dst_jax.workflows.pages.makers import Maker


class _Role(NamedTuple):
    """What a tracker is among others; equal roles differ in their seeds alone."""

    teacher: bool = False
    student: str = ""
    row: str = ""
    size: tuple[int, int] = (0, 0)
    stranger: str = ""

    @property
    def title(self) -> str:
        return "teacher" if self.teacher else f"{self.student} {self.row}"


def make_entries(
    networks: Mapping[str, Network], makers: Mapping[str, Maker]
) -> tuple[Entry, ...]:
    """Returns the trackers of a page, the teacher first, then students by size.

    The same student in the same row with several seeds is one entry. A tracker whose
    weights are those of another one's teacher is the teacher.

    Args:
      networks: What each tracker did, by its name.
      makers: How each was made, of those for which that is known.
    """
    taught = {maker.teacher for maker in makers.values()}
    groups: dict[_Role, list[str]] = {}
    for name in networks:
        role = _role(name, makers.get(name), taught)
        groups.setdefault(role, []).append(name)
    entries = list[Entry]()
    for role, names in groups.items():
        known = [makers[name] for name in names if name in makers]
        titled = [(name, [name]) for name in names]
        if len(names) > 1 and _one_a_seed(known):
            titled = [(_title(role, names, networks), names)]
        for title, own in titled:
            found = [_completed(networks[name], makers.get(name)) for name in own]
            entries.append(_entry(title, role, found, known))
    return _ordered(_distinct(entries))


def _role(name: str, maker: Maker | None, taught: set[str | None]) -> _Role:
    if maker is None:
        return _Role(stranger=name)
    size = maker.parameters, maker.search_macs
    if maker.weights in taught:
        return _Role(teacher=True, size=size)
    if not maker.student:
        return _Role(size=size, stranger=name)
    return _Role(student=maker.student, row=maker.row, size=size)


def _title(role: _Role, names: Sequence[str], networks: Mapping[str, Network]) -> str:
    """Returns the name of an entry of several networks, which no other one has."""
    if role.title in networks and role.title not in names:
        return f"{role.title}, {len(names)} seeds"
    return role.title


def _one_a_seed(makers: Sequence[Maker]) -> bool:
    seeds = [maker.seed for maker in makers]
    return None not in seeds and len(set(seeds)) == len(seeds)


def _completed(network: Network, maker: Maker | None) -> Network:
    """Returns the network with its seed and gates."""
    if maker is None:
        return network
    return dataclasses.replace(network, seed=maker.seed, gate_open=maker.gate_open)


def _entry(
    title: str, role: _Role, networks: Sequence[Network], known: Sequence[Maker]
) -> Entry:
    first = known[0] if known else None
    return Entry(
        title,
        tuple(networks),
        student=role.student,
        row=role.row,
        teacher=role.teacher,
        parameters=first and first.parameters,
        megabytes=first and first.megabytes,
        search_macs=first and first.search_macs,
    )


def _distinct(entries: Sequence[Entry]) -> list[Entry]:
    """Returns entries of which no two have the same student and row.

    A page tells rows apart by their names, and settings may differ within a row.
    """
    taken, found = set[tuple[str, str]](), list[Entry]()
    for entry in entries:
        if entry.student and (entry.student, entry.row) in taken:
            row = f"{entry.row}, {entry.name}"
            entry = dataclasses.replace(entry, row=row)
        taken.add((entry.student, entry.row))
        found.append(entry)
    return found


def _ordered(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Returns the teacher, each student's rows from plain to sharing, the rest."""
    students = list(dict.fromkeys(e.student for e in entries if e.student))
    sizes = {e.student: e.parameters or 0 for e in reversed(entries)}
    students.sort(key=lambda name: sizes[name])

    def place(entry: Entry) -> tuple[int, int, int]:
        if entry.teacher or not entry.student:
            return (0 if entry.teacher else 2), 0, 0
        row = {PLAIN: 0, SHARING: 2}.get(entry.row.partition(",")[0], 1)
        return 1, students.index(entry.student), row

    return tuple(sorted(entries, key=place))
