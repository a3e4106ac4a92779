"""Executes a configuration's file; whatever its code does becomes one line."""

import importlib.util
import os
import pathlib
import re
import sys
import tokenize
import traceback
import types
from collections.abc import Callable
from typing import TypeVar

from dst_jax.command.renamed import RENAMED
from dst_jax.errors import InputError
from dst_jax.files import user_path

Value = TypeVar("Value")

_LONGEST = 300  # characters of an error that are told


def execute(path: pathlib.Path) -> types.ModuleType:
    """Returns the module that a file of Python defines.

    Raises:
      InputError: If there is no such file, it is not Python, or its code raises.
    """
    if path.is_dir():
        raise InputError(f"CONFIG {path}: is a folder; name a .py file.")
    if not path.is_file():
        raise InputError(f"CONFIG {path}: no such file.")
    _require_text(path)
    # The module gets a prefix, because a user's `optax.py` would replace optax.
    name = f"dst_jax_config_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"CONFIG {path}: not a Python file.")
    module = importlib.util.module_from_spec(spec)
    loader = spec.loader
    # Type hints and source code of its classes are looked up by the module's name.
    sys.modules[name] = module
    try:
        explained(lambda: loader.exec_module(module), str(path))
    except BaseException:
        del sys.modules[name]
        raise
    return module


def explained(call: Callable[[], Value], config: str) -> Value:
    """Returns what code of a configuration returns.

    Args:
      call: Calls the code.
      config: The configuration as the user named it.

    Raises:
      InputError: If the code raises anything or asks Python to exit. The message names
        the file and, where it is known, the line.
    """
    try:
        return call()
    except KeyboardInterrupt:
        raise
    except InputError as error:
        said = _at(error, config) + str(error)
    except SyntaxError as error:
        raise InputError(
            f"CONFIG {config}: line {error.lineno}: {error.msg}."
        ) from None
    except SystemExit as error:
        said = _at(error, config) + f"it ends Python ({error!r})."
    except BaseException as error:
        # The user can mend any error that the file raises.
        kind = type(error).__name__
        text = str(error)[:_LONGEST]
        said = _at(error, config) + f"{kind}: {text}".rstrip(": ") + f"{_now(error)}."
    raise InputError(f"CONFIG {config}: {said}")


def _require_text(path: pathlib.Path) -> None:
    """Returns if a file is text in the encoding that it declares, usually UTF-8."""
    data = path.read_bytes()
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InputError(f"CONFIG {path}: is UTF-16; save it as UTF-8.")
    if b"\0" in data:
        line = data[: data.index(b"\0")].count(b"\n") + 1
        raise InputError(f"CONFIG {path}: line {line}: has a NUL byte; is it Python?")
    try:
        with tokenize.open(path) as file:
            file.read()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(
            f"CONFIG {path}: line {line}: is not {error.encoding}; save it as UTF-8."
        ) from None
    except SyntaxError as error:
        raise InputError(f"CONFIG {path}: {error.msg}; save it as UTF-8.") from None


def _at(error: BaseException, config: str) -> str:
    """Returns the last line of the file on the way to the error, as "line 3: "."""
    file = os.path.abspath(user_path(config))
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if os.path.abspath(frame.filename) == file
    ]
    return f"line {lines[-1]}: " if lines else ""


def _now(error: BaseException) -> str:
    """Returns what a field that a configuration gives in Python is called now."""
    found = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    now = RENAMED.get(f"distill.{found[1]}") if found else None
    return f"; {found[1]} is now {now}" if found and now else ""
