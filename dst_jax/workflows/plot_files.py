"""Writes the plots of an evaluation as SVG and PNG."""

import os
from collections.abc import Mapping

from dst_jax.errors import InputError
from dst_jax.evaluate import Score, plots
from dst_jax.files import require_place, user_path, whole_folder


def require_plots_place(folder: str | os.PathLike[str]) -> None:
    """Returns if plots can be written to a folder; called before any work.

    Raises:
      InputError: If it holds something, is none, or cannot be written.
    """
    path = user_path(folder)
    if path.exists() and not path.is_dir():
        raise InputError(f"--plots {folder}: is no folder; name another place.")
    if path.is_dir() and any(path.iterdir()):
        raise InputError(
            f"--plots {folder}: already holds something; remove it or name another."
        )
    require_place(path)


def write_plots(
    folder: str | os.PathLike[str],
    scores: Mapping[str, Score],
    fps: Mapping[str, float],
) -> None:
    """Writes a plot of every curve of the protocol, and one of speed, all or nothing.

    Args:
      folder: Folder to make.
      scores: Score of each tracker, at least one, all under one protocol.
      fps: Frames per second of each tracker for which they are known; without any,
        there is no plot of speed.

    Raises:
      OSError: If the folder cannot be written.
    """
    figures = plots.score_figures(scores, fps)
    with whole_folder(user_path(folder)) as temporary:
        for name, figure in figures.items():
            (temporary / f"{name}.svg").write_text(plots.figure_to_svg(figure) + "\n")
            (temporary / f"{name}.png").write_bytes(plots.figure_to_png(figure))
