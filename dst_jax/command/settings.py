"""Loads experiments by name or file and applies overrides of the command line."""

import dataclasses
import importlib
import itertools
import pkgutil
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dst_jax import configs
from dst_jax.arch import TrackerSpec, read_spec
from dst_jax.command import fields
from dst_jax.command.execute import execute, explained
from dst_jax.command.renamed import RENAMED
from dst_jax.errors import InputError
from dst_jax.experiment import Experiment, sections
from dst_jax.files import user_path
from dst_jax.track.procedure import default_tracking


def packaged() -> dict[str, str]:
    """Returns the first lines of the packaged experiments' docstrings by name."""
    found = {}
    for module in pkgutil.iter_modules(configs.__path__):
        doc = importlib.import_module(f"{configs.__name__}.{module.name}").__doc__
        found[module.name] = (doc or "").strip().splitlines()[0]
    return found


def load_experiment(config: str) -> Experiment:
    """Returns the experiment of a packaged name or of a `.py` file.

    A file is executed, and must define `experiment() -> Experiment`.

    Args:
      config: Name of a packaged experiment, or path of a `.py` file.

    Raises:
      InputError: If there is no such name or file, it defines no experiment, or its
        code raises an error.
    """
    path = user_path(config)
    if path.suffix == ".py":
        module = execute(path)
    elif config in packaged():
        module = importlib.import_module(f"{configs.__name__}.{config}")
    else:
        raise InputError(
            f"CONFIG {config!r}: neither a .py file nor one of {', '.join(packaged())}."
        )
    make = getattr(module, "experiment", None)
    if make is None:
        raise InputError(f"CONFIG {config}: defines no function experiment().")
    return explained(lambda: _checked(make()), config)


def _checked(experiment: Any) -> Experiment:
    """Returns what a configuration made, if an experiment can be run from it."""
    if not isinstance(experiment, Experiment):
        raise InputError(
            f"experiment() must return an Experiment, not {_kind(experiment)}."
        )
    hints = typing.get_type_hints(Experiment)
    for name in sections():
        value, kind = getattr(experiment, name), hints[name]
        if not isinstance(value, kind):
            raise InputError(
                f"Experiment.{name}: must be {kind.__name__}, not {_kind(value)}."
            )
    students = experiment.students
    if not isinstance(students, Mapping) or not students:
        raise InputError("Experiment.students: must name one student at least.")
    for name, spec in students.items():
        if not isinstance(spec, TrackerSpec):
            raise InputError(
                f"student {name!r}: must be a TrackerSpec, not {_kind(spec)}."
            )
    return experiment


def _kind(value: Any) -> str:
    return "None" if value is None else type(value).__name__


def override(
    experiment: Experiment, words: Sequence[str], *, also: Iterable[str] = ()
) -> Experiment:
    """Returns `experiment` with new values for the fields that `words` name.

    Args:
      experiment: The experiment.
      words: Words `--section.field VALUE [VALUE ...]`.
      also: Further options, among which the error looks for similar names.

    Raises:
      InputError: If a field is unknown, in which case the error names a similar one,
        or a value is unfit.
    """
    parts = fields.override(by_section(experiment), words, renamed=RENAMED, also=also)
    return dataclasses.replace(experiment, **parts)


def for_sources(
    experiment: Experiment, given: Sequence[str], words: Sequence[str]
) -> tuple[Experiment, str]:
    """Returns `experiment` for the data sets of the command line, and a note.

    Settings that have one value per data set belong to those of the configuration: for
    others they are dropped, and the note says which.

    Args:
      experiment: The experiment.
      given: Data sets without an option, before or after the configuration's name.
      words: Words `--section.field VALUE [VALUE ...]`, `--data.sources` among them or
        not; `override` reads them afterwards.

    Returns:
      The experiment, and the note or "".

    Raises:
      InputError: If data sets are given in both ways, or one of them twice.
    """
    named = _values_of("--data.sources", words)
    if given and named:
        raise InputError(
            f"--data.sources {' '.join(named)}: {given[0]} is given too; name the data "
            "sets once."
        )
    sources = tuple(given or named)
    data = experiment.data
    if not sources or sources == data.sources:
        return experiment, ""
    weighted = bool(_values_of("--data.weights", words))
    dropped = [name for name in _PER_SOURCE if getattr(data, name)]
    changes: dict[str, Any] = dict.fromkeys(_PER_SOURCE, ())
    if weighted:  # those of the words come later
        changes["weights"] = (1.0,) * len(sources)
    elif data.negatives_from == "sources":
        dropped.append("negatives_from")
        changes["negatives_from"] = "sequences"
    data = dataclasses.replace(data, sources=sources, **changes)
    again = [n for n in dropped if not _values_of(f"--data.{n}", words)]
    names = ", ".join(again)
    note = f"other data sets than the configuration's: its {names} are not used."
    return dataclasses.replace(experiment, data=data), note if again else ""


# Fields of DataConfig with one value per data set.
_PER_SOURCE = ("weights", "max_gaps", "reports")


def _values_of(option: str, words: Sequence[str]) -> list[str]:
    """Returns the values of an option where it stands last, or none."""
    found: list[str] = []
    for i, word in enumerate(words):
        name, _, value = word.partition("=")
        if name.replace("-", "_") == option.replace("-", "_"):
            after = itertools.takewhile(
                lambda w: not w.startswith("--"), words[i + 1 :]
            )
            found = [*([value] if value else []), *after]
    return found


def by_section(experiment: Experiment) -> dict[str, Any]:
    """Returns the settings of an experiment by the names of their sections."""
    return {name: getattr(experiment, name) for name in sections()}


def with_students(experiment: Experiment, choices: Sequence[str]) -> Experiment:
    """Returns `experiment` with the students of `choices`, or as it is without any.

    If the first student is of another family than the configuration, the settings for
    tracking become the defaults of its family.

    Args:
      experiment: The experiment.
      choices: Students, each NAME=ZOO or NAME=SPEC.json.

    Raises:
      InputError: If a choice is no such pair, or there is no such architecture.
    """
    if not choices:
        return experiment
    students = {}
    for choice in choices:
        name, separator, what = choice.partition("=")
        if not separator or not name or not what:
            raise InputError(
                f"--student {choice}: expected NAME=ZOO or NAME=SPEC.json."
            )
        students[name] = read_spec(what)
    usual = default_tracking(next(iter(students.values())))
    fits = isinstance(experiment.tracking, type(usual))
    tracking = experiment.tracking if fits else usual
    return dataclasses.replace(experiment, students=students, tracking=tracking)


def parse_bundles(
    choices: Sequence[str], names: Mapping[str, Any], *, option: str
) -> dict[str, Any]:
    """Returns the bundles that students begin with.

    Args:
      choices: Values of the option: NAME=BUNDLE or, for a single student, BUNDLE.
      names: The students by name.
      option: The option, "--init" or "--backbone".

    Returns:
      Paths of bundles by name; it is not checked that such students exist.

    Raises:
      InputError: If a name is missing and there are several students.
    """
    found = {}
    for choice in choices:
        name, separator, path = choice.partition("=")
        if not separator:
            if len(names) != 1:
                raise InputError(
                    f"{option} {choice}: several students; use NAME=BUNDLE."
                )
            name, path = next(iter(names)), choice
        if not name or not path:
            raise InputError(f"{option} {choice}: expected NAME=BUNDLE or BUNDLE.")
        found[name] = user_path(path)
    return found
