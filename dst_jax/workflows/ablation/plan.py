"""Plans an ablation: rows of the paper's tables, and the runs that serve them.

Rows that need the same training share it. NOKD is GT, and TSKD is the last row of
Table 4. For SiamFC, whose AH is the plain loss, AH+TS is GT+TS. Without sharing, a
student's training does not depend on other students, so that one run serves rows with
one student and with two.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from dst_jax.arch import TrackerSpec, scale_widths, tracker_cost
from dst_jax.distill import (
    ROWS,
    DistillConfig,
    Hard,
    Sharing,
    Task,
    check_fit,
    needs_teacher,
    with_row,
)
from dst_jax.errors import InputError
from dst_jax.experiment import Experiment, require_seed
from dst_jax.workflows.ablation import dlf, loretrack

TABLE_5 = ("NOKD", "TSKD", "TSsKD")
TABLE_4 = tuple(row for row in ROWS if row not in TABLE_5)
ALL_ROWS = (*TABLE_4, *TABLE_5)
# Rows of Table 6: the teacher, for which nothing is trained, and "r50 w/o" and "r50
# with" of a student r50, which learns plainly or by TSsKD beside all others.
TEACHER, WITHOUT, WITH = "teacher", " w/o", " with"
DLF, LORETRACK = "dlf", "loretrack"
TABLES = (4, 5, 6, DLF, LORETRACK)
# In percent: the first of the uniform widths of Fig. 6, and its steps. The number of
# students is limited so that all widths are below the teacher's.
FIRST_WIDTH, WIDTH_STEP, MOST_STUDENTS = 40, 5, 12


@dataclasses.dataclass(frozen=True)
class Choice:
    """The user's choice of rows, seeds and data sets.

    Attributes:
      rows: Rows of Tables 4, 5 and 6; if empty, all rows of `tables`.
      counts: Numbers of students for Fig. 6.
      seeds: Seeds of weights and data order; every row is trained once with each.
      datasets: Data sets for evaluation, as `LAYOUT:DIR`; synthetic video if empty.
      tables: Tables of the paper that have all of `rows`; empty for any. "dlf" and
        "loretrack" beside them add all rows of these papers.
    """

    rows: tuple[str, ...] = ALL_ROWS
    counts: tuple[int, ...] = ()
    seeds: tuple[int, ...] = (0,)
    datasets: tuple[str, ...] = ()
    tables: tuple[int | str, ...] = ()

    def __post_init__(self):
        for field in ("rows", "counts", "seeds", "datasets", "tables"):
            values = getattr(self, field)
            object.__setattr__(self, field, tuple(dict.fromkeys(values)))
        if not self.rows and not self.counts and not self.tables:
            raise InputError("nothing to train; name --rows or --students.")
        if not self.seeds:
            raise InputError("--seeds: give at least one.")
        for seed in self.seeds:
            require_seed(seed, "--seeds")
        self._require_rows()
        for count in self.counts:
            if not 1 <= count <= MOST_STUDENTS:
                raise InputError(f"--students {count}: from 1 to {MOST_STUDENTS}.")

    def _require_rows(self) -> None:
        """Raises InputError if there is no such table, or no such row in any."""
        for table in self.tables:
            if table not in TABLES:
                raise InputError(
                    f"--tables {table}: there are 4, 5, 6, {DLF} and {LORETRACK}."
                )
        for row in self.rows:
            if (table := _table_of(row)) is None:
                raise InputError(
                    f"--rows {row}: there is {', '.join(ROWS)}; and of Table 6 "
                    f'{TEACHER}, "STUDENT{WITHOUT}", "STUDENT{WITH}".'
                )
            if self.tables and table not in self.tables:
                raise InputError(
                    f"--rows {row}: is a row of Table {table}; give --tables {table}."
                )

    def of(self, table: int, rows: Sequence[str]) -> list[str]:
        """Returns those of a table's rows that were chosen."""
        if self.rows:
            return [row for row in rows if row in self.rows]
        return list(rows) if table in self.tables else []


def _table_of(row: str) -> int | None:
    """Returns the number of the table that has a row of this name, or None."""
    if row == TEACHER or row.endswith((WITHOUT, WITH)):
        return 6
    return 4 if row in TABLE_4 else 5 if row in TABLE_5 else None


@dataclasses.dataclass(frozen=True)
class Training:
    """A training, which decides a student's weights together with the seed.

    Attributes:
      row: The first row of the tables with this objective.
      group: Students that learn from one another; empty if each learns alone.
    """

    row: str
    group: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Line:
    """One row of a table, for every seed.

    Attributes:
      table: "Table 4", "Table 5", "Table 6", "DLF", "LoReTrack" or "Fig. 6".
      row: Name of the row in the paper, or a number of students, as "3 students".
      students: Students whose results it shows.
      training: Training that gives these results.
    """

    table: str
    row: str
    students: tuple[str, ...]
    training: Training


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """One run, which trains `students` under the objective of `training`."""

    training: Training
    students: tuple[str, ...]
    seed: int

    @property
    def folder(self) -> str:
        """Returns the folder of the run below the folder of all rows."""
        return f"seed{self.seed}/{self.training.row}/{'+'.join(self.students)}"


@dataclasses.dataclass(frozen=True)
class Plan:
    """Rows of the tables and the networks in them.

    Attributes:
      experiment: Settings that all runs share.
      students: All students by name: those of `experiment` and of Fig. 6.
      lines: Rows of the tables in the order of the report.
      seeds: Seeds with which every training runs.
      shows_teacher: Whether the teacher is a row of Table 6.
    """

    experiment: Experiment
    students: Mapping[str, TrackerSpec]
    lines: tuple[Line, ...]
    seeds: tuple[int, ...]
    shows_teacher: bool = False

    def settings(self, run: PlannedRun) -> Experiment:
        """Returns the configuration of one run."""
        return dataclasses.replace(
            self.experiment,
            students={name: self.students[name] for name in run.students},
            distill=with_row(self.experiment.distill, run.training.row),
            seed=run.seed,
        )

    def rows_of(self, training: Training) -> list[str]:
        """Returns the names of the rows that a training serves."""
        return list(dict.fromkeys(x.row for x in self.lines if x.training == training))


def make_plan(
    experiment: Experiment, choice: Choice, *, teacher: TrackerSpec | None
) -> Plan:
    """Returns the plan for `choice`, after checking that all of it can be trained.

    Args:
      experiment: Settings that all runs share.
      choice: Rows, numbers of students, seeds and data sets.
      teacher: Architecture of the teacher, or None.

    Raises:
      InputError: If a row needs a teacher or a term that is missing, or networks do not
        fit together.
    """
    check_fit(teacher, experiment.students, with_row(experiment.distill, "NOKD"))
    names = by_size(experiment.students)
    lines = [
        Line("Table 4", row, names[:1], _training(experiment, row, names[:1]))
        for row in choice.of(4, TABLE_4)
    ]
    lines += [
        Line("Table 5", row, names, _training(experiment, row, names))
        for row in choice.of(5, TABLE_5)
    ]
    lines += _table_6(experiment, choice, names)
    for title, table in ((DLF, dlf), (LORETRACK, loretrack)):
        lines += [
            Line(table.TABLE, row, (name,), _training(experiment, terms, names))
            for row, terms, name in table.rows_of(names[::-1])
            if title in choice.tables
        ]
    students = dict(experiment.students)
    if choice.counts:
        widths = uniform_students(_required(teacher, "Fig. 6"), max(choice.counts))
        if clash := [name for name in widths if name in students]:
            raise InputError(f"student {clash[0]}: Fig. 6 has that name; rename it.")
        students |= widths
        for count in choice.counts:
            some = tuple(widths)[:count]
            row = f"{count} student{'s' if count > 1 else ''}"
            lines.append(
                Line("Fig. 6", row, some, _training(experiment, "TSsKD", some))
            )
    with_teacher = bool(choice.of(6, [TEACHER]))
    if with_teacher:
        _required(teacher, f"row {TEACHER}")
    plan = Plan(experiment, students, tuple(lines), choice.seeds, with_teacher)
    for line in lines:
        names = line.training.group or line.students
        run = plan.settings(PlannedRun(line.training, names, choice.seeds[0]))
        if needs_teacher(run.students, run.distill):
            _required(teacher, f"row {line.row}")
        check_fit(teacher, run.students, run.distill)
    return plan


def _table_6(
    experiment: Experiment, choice: Choice, names: tuple[str, ...]
) -> list[Line]:
    """Returns the rows of Table 6, of each student without and with the others."""
    known = {
        f"{name}{how}": (name, how) for how in (WITHOUT, WITH) for name in names[::-1]
    }
    for row in choice.rows:
        if _table_of(row) == 6 and row not in (TEACHER, *known):
            raise InputError(
                f"--rows {row!r}: the configuration has no such student; Table 6 is "
                f"{', '.join([TEACHER, *map(repr, known)])}."
            )
    lines = []
    for row in choice.of(6, list(known)):
        name, how = known[row]
        trained = "NOKD" if how == WITHOUT else "TSsKD"
        training = _training(experiment, trained, names)
        lines.append(Line("Table 6", row, (name,), training))
    return lines


def missing_runs(
    plan: Plan, finished: Callable[[Training, int, str], bool]
) -> list[PlannedRun]:
    """Returns the runs that are left to train, one seed after the other.

    Args:
      plan: The plan.
      finished: Function (training, seed, student) that returns whether there is a
        result.
    """
    runs = []
    for seed in plan.seeds:
        wanted: dict[Training, list[str]] = {}
        for line in plan.lines:
            names = wanted.setdefault(line.training, [])
            names += [name for name in line.students if name not in names]
        for training, names in wanted.items():
            missing = [n for n in names if not finished(training, seed, n)]
            if missing and training.group:
                missing = list(training.group)  # a group is trained together
            if missing:
                runs.append(PlannedRun(training, tuple(missing), seed))
    return runs


def by_size(students: Mapping[str, TrackerSpec]) -> tuple[str, ...]:
    """Returns the students' names, fewest parameters first: the dull one leads."""
    return tuple(sorted(students, key=lambda n: tracker_cost(students[n]).parameters))


def uniform_students(teacher: TrackerSpec, count: int) -> dict[str, TrackerSpec]:
    """Returns students for Fig. 6 with .40, .45, .50, ... of the teacher's widths.

    Args:
      teacher: The teacher's architecture.
      count: Number of students.
    """
    percents = (FIRST_WIDTH + WIDTH_STEP * i for i in range(count))
    return {f"w{p}": scale_widths(teacher, p / 100) for p in percents}


def family(students: Mapping[str, TrackerSpec]) -> str:
    """Returns the paper's name for the tracker of the first student."""
    return next(iter(students.values())).head.family


def _training(experiment: Experiment, row: str, names: Sequence[str]) -> Training:
    objective = _objective(experiment, row, len(names))
    for other in (*ROWS, row):
        try:
            if _objective(experiment, other, len(names)) == objective:
                shares = any(isinstance(t, Sharing) for t in objective.active.values())
                return Training(other, tuple(names) if shares else ())
        except InputError:  # the configuration lacks a term of that row
            continue
    raise AssertionError(f"{row} is not equal to itself")


def _objective(experiment: Experiment, row: str, students: int) -> DistillConfig:
    """Returns a row's objective in a form that is equal for equal trainings."""
    config = with_row(experiment.distill, row)
    boxes = any(s.head.proposes_boxes for s in experiment.students.values())
    terms = {}
    for name, term in config.terms.items():
        if isinstance(term, Hard) and not boxes:  # AH is then the plain loss
            terms["gt"] = Task(weight=term.weight)
        elif students > 1 or not isinstance(term, Sharing):
            terms[name] = term
    return dataclasses.replace(config, terms=terms)


def _required(teacher: TrackerSpec | None, what: str) -> TrackerSpec:
    if teacher is None:
        raise InputError(f"{what} needs a teacher; give its bundle with --teacher.")
    return teacher
