"""Writes a page, and its numbers beside it as CSV, LaTeX and JSON."""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

from dst_jax.errors import InputError
from dst_jax.evaluate.page import Page, page_csv, page_html, page_json, page_latex
from dst_jax.files import (
    remove_leftovers,
    require_place,
    user_path,
    write_json,
    write_text,
)

_SUFFIX = ".html"
_BESIDE = (".csv", ".tex", ".json")
# Of a page with pictures, in bytes.
_SPACE = 20_000_000


def page_files(path: str | os.PathLike[str]) -> tuple[pathlib.Path, ...]:
    """Returns the files that a page consists of, the page first.

    Args:
      path: The page.
    """
    page = user_path(path)
    return page, *(page.with_suffix(suffix) for suffix in _BESIDE)


def require_page_place(
    path: str | os.PathLike[str], *, json: str | os.PathLike[str] | None = None
) -> None:
    """Returns if a page can be written; called before any work.

    Args:
      path: The page.
      json: Another file that the same command is to write, or None.

    Raises:
      InputError: If the name does not end in .html, a place cannot be written, or it
        is that of the other file.
    """
    if user_path(path).suffix.lower() != _SUFFIX:
        raise InputError(
            f"--html {path}: must end in .html; PAGE.csv, PAGE.tex and PAGE.json are "
            "written beside."
        )
    for file in page_files(path):
        if file.exists() and not file.is_file():
            raise InputError(f"{file} is no regular file; name another page.")
        if json is not None and user_path(json).absolute() == file.absolute():
            raise InputError(
                f"--json {json}: --html writes this file too; name another."
            )
    require_place(user_path(path), space=_SPACE)
    remove_leftovers(user_path(path).parent)


def write_page(
    path: str | os.PathLike[str],
    page: Page,
    *,
    more: Mapping[str, Any] | None = None,
) -> tuple[pathlib.Path, ...]:
    """Writes a page and its numbers, each file whole or not at all.

    Args:
      path: The page; its folder is made if it is missing.
      page: What it shows.
      more: Further values for its JSON, which come first.

    Returns:
      The files.

    Raises:
      OSError: If a file cannot be written.
    """
    files = page_files(path)
    html, table, tabular, values = files
    html.parent.mkdir(parents=True, exist_ok=True)
    write_text(html, page_html(page))
    write_text(table, page_csv(page.benchmarks))
    write_text(tabular, page_latex(page.benchmarks))
    own = page_json(page.benchmarks, page.provenance)
    write_json(values, {**(more or {}), **own}, sort_keys=False)
    return files
