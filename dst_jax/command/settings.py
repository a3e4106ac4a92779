"""Experiments by name or file, and overrides from the command line."""

import contextlib
import dataclasses
import difflib
import importlib
import importlib.util
import io
import pathlib
import pkgutil
import traceback
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tyro

from dst_jax import configs
from dst_jax.arch import read_spec
from dst_jax.errors import InputError
from dst_jax.experiment import Experiment, sections
from dst_jax.files import user_path
from dst_jax.track.config import default_tracking


def packaged() -> dict[str, str]:
    """Names of the packaged experiments and the first line that describes each."""
    found = {}
    for module in pkgutil.iter_modules(configs.__path__):
        doc = importlib.import_module(f"{configs.__name__}.{module.name}").__doc__
        found[module.name] = (doc or "").strip().splitlines()[0]
    return found


def load_experiment(config: str) -> Experiment:
    """Returns the experiment of a packaged name or of a `.py` file.

    The file is executed: it defines `experiment() -> Experiment`.

    Raises:
      InputError: If there is no such name or file, or it defines no experiment.
    """
    path = user_path(config)
    if path.suffix == ".py":
        module = _execute(path)
    elif config in packaged():
        module = importlib.import_module(f"{configs.__name__}.{config}")
    else:
        raise InputError(
            f"CONFIG {config!r}: neither a .py file nor one of {', '.join(packaged())}."
        )
    make = getattr(module, "experiment", None)
    if make is None:
        raise InputError(f"{config}: defines no function experiment().")
    experiment = _explained(make, config)
    if not isinstance(experiment, Experiment):
        raise InputError(f"{config}: experiment() must return an Experiment.")
    return experiment


# Options without a section.
_SHORT = {"skip_bad": "data.skip_bad"}


def override(experiment: Experiment, arguments: Sequence[str]) -> Experiment:
    """Applies `--section.field VALUE [VALUE ...]` pairs, and `--skip-bad`.

    Raises:
      InputError: If a field is unknown (the nearest is named) or a value unfit.
    """
    changes: dict[str, dict[str, Any]] = {}
    known = fields_of(experiment)
    for given, values in _pairs(arguments):
        name = _SHORT.get(given, given)
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean --{near[0]}?" if near else "see dst-jax config show."
            raise InputError(f"--{name}: unknown field; {hint}")
        section, _, field = name.rpartition(".")
        kind = typing.get_type_hints(type(_part(experiment, section)))[field]
        changes.setdefault(section, {})[field] = _parse(given, kind, values)
    # Each section at once: its fields are checked together, in whatever order given.
    for section, fields in changes.items():
        experiment = _replaced(experiment, section, fields)
    return experiment


def _part(value: Any, path: str) -> Any:
    """The settings at "section" or "section.part"."""
    for name in path.split("."):
        value = getattr(value, name)
    return value


def _replaced(value: Any, path: str, fields: Mapping[str, Any]) -> Any:
    """`value` with new fields in the settings at `path`; "" is `value` itself."""
    if not path:
        return dataclasses.replace(value, **fields)
    name, _, rest = path.partition(".")
    return dataclasses.replace(
        value, **{name: _replaced(getattr(value, name), rest, fields)}
    )


def with_students(experiment: Experiment, choices: Sequence[str]) -> Experiment:
    """Returns `experiment` with these students and no others, if any is given.

    Each is given as NAME=ZOO or NAME=SPEC.json. Students of another family than the
    configuration's bring their family's settings for tracking.

    Raises:
      InputError: If a choice is no such pair, or names nothing.
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


def fields_of(experiment: Experiment) -> list[str]:
    """Every "section.field" that can be overridden."""
    return [
        f"{section}.{field}"
        for section in sections()
        for field in _names(getattr(experiment, section))
    ]


def _names(settings: Any) -> list[str]:
    """Names of all fields, "part.field" where a field is a group of settings."""
    found = []
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        inner = _names(value) if dataclasses.is_dataclass(value) else []
        found += [f"{field.name}.{name}" for name in inner] or [field.name]
    return found


def as_argument(value: Any) -> str:
    """A field's value as the command line takes it."""
    if isinstance(value, list | tuple):
        return " ".join(as_argument(item) for item in value)
    spelt = {None: "none", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return spelt[value]
    return str(value)


def _execute(path: pathlib.Path) -> types.ModuleType:
    if not path.is_file():
        raise InputError(f"CONFIG {path}: no such file.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InputError(f"CONFIG {path}: not a Python file.")
    module = importlib.util.module_from_spec(spec)
    loader = spec.loader
    _explained(lambda: loader.exec_module(module), str(path))
    return module


def _explained(call: Callable[[], Any], config: str) -> Any:
    """Calls code of a configuration; its errors name the configuration."""
    try:
        return call()
    except InputError as error:
        raise InputError(f"CONFIG {config}: {error}") from None
    except SyntaxError as error:
        raise InputError(
            f"CONFIG {config}: line {error.lineno}: {error.msg}."
        ) from None
    except Exception as error:
        # Whatever a user's file raises is the user's to mend.
        lines = [f for f in traceback.extract_tb(error.__traceback__) if f.lineno]
        where = [
            f.lineno
            for f in lines
            if pathlib.Path(f.filename).name.startswith(pathlib.Path(config).stem)
        ]
        line = f"line {where[-1]}: " if where else ""
        raise InputError(f"CONFIG {config}: {line}{error}.") from None


def _pairs(arguments: Sequence[str]) -> list[tuple[str, list[str]]]:
    pairs: list[tuple[str, list[str]]] = []
    for argument in arguments:
        if argument.startswith("--"):
            name, separator, value = argument[2:].partition("=")
            pairs.append((name.replace("-", "_"), [value] if separator else []))
        elif pairs:
            pairs[-1][1].append(argument)
        else:
            raise InputError(f"{argument!r}: unexpected; options begin with --.")
    return pairs


def _parse(name: str, kind: Any, values: Sequence[str]) -> Any:
    if kind is bool and not values:
        return True
    try:
        field: Any = dataclasses.make_dataclass("Field", [("value", kind)])
        spelt = {"none": "None", "true": "True", "false": "False"}
        texts = [spelt.get(value, value) for value in values]
        arguments = ["--value", *texts]
        # tyro explains in many lines; ours is one.
        with contextlib.redirect_stderr(io.StringIO()):
            parsed = tyro.cli(field, args=arguments, console_outputs=False)
    except SystemExit:
        shown = kind.__name__ if isinstance(kind, type) else str(kind)
        raise InputError(
            f"--{name} {' '.join(values)}: expected {shown.replace('typing.', '')}."
        ) from None
    return parsed.value


def parse_init(choices: Sequence[str], names: Mapping[str, Any]) -> dict[str, Any]:
    """Reads `--init NAME=BUNDLE` or, for a single student, `--init BUNDLE`."""
    found = {}
    for choice in choices:
        name, separator, path = choice.partition("=")
        if not separator:
            if len(names) != 1:
                raise InputError(f"--init {choice}: several students; use NAME=BUNDLE.")
            name, path = next(iter(names)), choice
        found[name] = user_path(path)
    return found
