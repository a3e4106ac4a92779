"""The demonstration's synthetic video, which packaged configurations train on too."""

import pathlib
from collections.abc import Sequence

from rich.console import Console

from dst_jax.data.synthetic.dataset import SyntheticConfig, write_synthetic
from dst_jax.errors import printable
from dst_jax.files import remove_leftovers
from dst_jax.workflows.printing import say
from dst_jax.workflows.progress import counted_steps

TRAIN_VIDEOS = SyntheticConfig(videos=480, length=24)
TEST_VIDEOS = SyntheticConfig(videos=16, length=50)
# Where `dst-jax demo --workdir runs/demo` keeps its training video.
USUAL_FOLDER = pathlib.Path("runs/demo/data/train")


def make_missing_video(sources: Sequence[str], console: Console) -> None:
    """Makes the demonstration's training video if it is asked for and is not there.

    Args:
      sources: Data sets as `LAYOUT:DIR`.
      console: Console for the bar.
    """
    if f"got10k:{USUAL_FOLDER}" in sources and not USUAL_FOLDER.exists():
        say(console, f"{USUAL_FOLDER}: missing; the demonstration's video is made.")
        write_video(USUAL_FOLDER, TRAIN_VIDEOS, seed=0, console=console)


def write_video(
    folder: pathlib.Path, config: SyntheticConfig, *, seed: int, console: Console
) -> None:
    """Writes synthetic video under a bar, unless it is there already.

    Args:
      folder: Folder of the data set; what killed writers left beside it is removed.
      config: Number and difficulty of the videos.
      seed: Seed of the data set.
      console: Console for the bar.

    Raises:
      InputError: If the folder holds anything else.
    """
    remove_leftovers(folder.parent)
    name = f"synthetic video: {folder.name}"
    with counted_steps(console) as progress:
        task = progress.add_task(printable(name), total=None)

        def advance(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        write_synthetic(folder, config, seed=seed, progress=advance)
