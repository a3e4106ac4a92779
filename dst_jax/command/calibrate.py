"""The verb that says what a tracker's scores mean."""

import dataclasses
from typing import Annotated

from rich.console import Console
from tyro.conf import Positional, arg

from dst_jax.command.kinds import Path, optional


@dataclasses.dataclass(frozen=True)
class Calibrate:
    """Turn a tracker's scores into probabilities, and learn when its target is lost.

    Tracks videos that nothing is reported on and fits to each score how probable it is
    that the box overlaps its target by more than half. The bundle gets this line and
    thresholds for "uncertain" and "lost"; `dst-jax track` then writes a probability and
    a state with each box, and `dst-jax evaluate` refuses these videos. A bundle that
    has a calibration gets a new one.

    Example: dst-jax calibrate BUNDLE --dataset got10k:VAL --reported otb:OTB100
    """

    bundle: Annotated[
        Positional[Path], arg(metavar="BUNDLE", help="the tracker, which is changed")
    ]
    dataset: Annotated[
        str, arg(metavar="LAYOUT:DIR", help="videos to fit on; see `dst-jax data list`")
    ]
    reported: Annotated[
        str | None,
        optional("LAYOUT:DIR", "other videos to measure on; the same if none"),
    ] = None
    false_lost: Annotated[
        float, arg(metavar="SHARE", help="of right boxes that may be called lost")
    ] = 0.05
    lost_search: Annotated[
        int,
        arg(
            metavar="{1,2,3}",
            help="search lost targets in windows over so many widths; 1: as others",
        ),
    ] = 1
    plot: Annotated[
        Path | None, optional("FILE", ".png or .svg file for the reliability")
    ] = None


def run_calibrate(verb: Calibrate, console: Console) -> None:
    """Calls the workflow, which is imported only then.

    Args:
      verb: The verb.
      console: Console for progress and results.

    Raises:
      InputError: If the workflow raises it.
    """
    from dst_jax.workflows.calibrate import calibrate_bundle

    calibrate_bundle(
        verb.bundle,
        verb.dataset,
        reported=verb.reported,
        false_lost=verb.false_lost,
        lost_search=verb.lost_search,
        plot=verb.plot,
        console=console,
    )
