"""A tracker for the got10k toolkit: `pip install got10k`.

Example:
  On OTB, by the toolkit's own experiment::

    from got10k.experiments import ExperimentOTB
    from dst_jax.adapters.got10k import Got10kTracker

    experiment = ExperimentOTB("OTB100", version=2015)
    experiment.run(Got10kTracker("student.bundle", name="student"))
    experiment.report(["student"])
"""

import os

import numpy as np
from PIL.Image import Image

from dst_jax.bundle import load
from dst_jax.errors import InputError
from dst_jax.track import Session
from dst_jax.track.stream import BoxLike

try:
    from got10k.trackers import Tracker
except ImportError as error:
    raise InputError(
        f"dst_jax.adapters.got10k: {error}; pip install got10k."
    ) from error


class Got10kTracker(Tracker):
    """Follows the target of one sequence after the other, for got10k's experiments.

    Attributes:
      session: The session, whose tracker decides what is found.
    """

    def __init__(self, tracker: str | os.PathLike[str] | Session, *, name: str):
        """Makes a tracker under a name.

        Args:
          tracker: Folder of a bundle, or a session.
          name: Name of the toolkit's folder of results.

        Raises:
          InputError: If the folder is no bundle.
        """
        super().__init__(name=name, is_deterministic=True)
        self.session = tracker if isinstance(tracker, Session) else load(tracker)

    def init(self, image: Image, box: BoxLike) -> None:
        """Takes the first frame of a sequence and the target in it.

        Args:
          image: RGB.
          box: Corner and size (x, y, w, h) in pixels, counted from 0.
        """
        self.session.init(np.asarray(image), box)

    def update(self, image: Image) -> np.ndarray:
        """Returns the target's box (x, y, w, h) in the next frame.

        Args:
          image: RGB.
        """
        return self.session.update(np.asarray(image)).box
