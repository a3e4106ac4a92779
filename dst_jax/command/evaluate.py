"""The verb that scores trackers and result files, and what it calls."""

import dataclasses
from typing import TYPE_CHECKING, Annotated

from rich.console import Console
from tyro.conf import arg

from dst_jax.command.kinds import Append, Flag, Path, optional
from dst_jax.errors import InputError

if TYPE_CHECKING:
    from dst_jax.workflows.publishing import Outputs


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Score trackers, or result files of any tracker, on a data set.

    Result files are called <sequence>.txt and have a line x,y,w,h per frame, in the
    data set's own convention (OTB counts pixels from 1), or as the toolkits of GOT-10k
    and VOT lay them out. Scoring them needs no frames, but for VOT. The table names the
    protocol: the rules of the data set's papers, or those of --protocol (otb, uav123,
    dtb70, lasot, lasot_ext, trackingnet, got10k, nfs, tc128, and with restarts vot2016,
    vot2018, vot2019, each as one kit or several do it).

    Example: dst-jax evaluate --dataset otb:OTB100 --tracker BUNDLE --json scores.json
    """

    dataset: Annotated[
        str, arg(metavar="LAYOUT:DIR", help="such as otb:DIR; see `dst-jax data list`")
    ]
    tracker: Annotated[
        Append[tuple[Path, ...]],
        arg(
            metavar="[NAME=]BUNDLE",
            help="a tracker to run, or a folder of several; called after its folder",
        ),
    ] = ()
    results: Annotated[
        Path | None,
        optional("DIR", "folder of result files, instead of --tracker"),
    ] = None
    results_origin: Annotated[
        int | None,
        optional("{0,1}", "what the files count pixels from; as the data set if none"),
    ] = None
    results_out: Annotated[
        Path | None,
        optional("DIR", "folder for the trackers' boxes, <tracker>/<sequence>.txt"),
    ] = None
    json: Annotated[
        Path | None,
        optional("FILE", "file for the scores"),
    ] = None
    protocol: Annotated[
        str | None,
        optional("NAME[/KIT]", "e.g. lasot/pytracking; as papers score it if none"),
    ] = None
    plots: Annotated[
        Path | None,
        optional("DIR", "folder for plots of success, precision, speed"),
    ] = None
    html: Annotated[
        Path | None,
        optional(
            "PAGE.html",
            "page with verdict, tables, plots, film; .csv .tex .json beside",
        ),
    ] = None
    submit: Annotated[
        Path | None,
        optional("ZIP", "archive for the server of TrackingNet or GOT-10k"),
    ] = None
    tune: Annotated[
        str | None,
        optional(
            "LAYOUT:DIR",
            "other videos; first puts the settings that do best on them into the "
            "trackers' bundles",
        ),
    ] = None
    batch: Annotated[
        int | None,
        optional("N", "videos at a time; 1 on a CPU and 16 elsewhere if none"),
    ] = None
    speeds: Annotated[
        Flag[bool], arg(help="time network, crops, one video from files as well")
    ] = False
    trials: Annotated[
        int | None, optional("N", "settings that --tune tries; 40 if none")
    ] = None


def run_evaluate(verb: Evaluate, console: Console) -> None:
    """Checks the verb's options, then tunes, tracks and scores; imports only then.

    Args:
      verb: The verb.
      console: Console for the table.

    Raises:
      InputError: If options exclude each other, or the workflow raises it.
    """
    from dst_jax.workflows.evaluate import evaluate_results, evaluate_trackers
    from dst_jax.workflows.publishing import Outputs

    if bool(verb.tracker) == (verb.results is not None):
        raise InputError("give either --tracker BUNDLE (repeatable) or --results DIR.")
    if verb.tracker and verb.results_origin is not None:
        raise InputError("--results-origin is for --results; trackers count from 0.")
    if verb.results is not None and verb.results_out is not None:
        raise InputError("--results-out is for --tracker; --results has files already.")
    if verb.results is not None and (verb.speeds or verb.batch is not None):
        option = "--speeds" if verb.speeds else "--batch"
        raise InputError(f"{option} is for --tracker; --results has boxes already.")
    outputs = Outputs(
        json=verb.json, plots=verb.plots, submission=verb.submit, html=verb.html
    )
    if verb.tune is not None:
        _tune(verb, verb.tune, outputs, console)
    elif verb.trials is not None:
        raise InputError("--trials is for --tune; give the videos to tune on.")
    if verb.results is not None:
        evaluate_results(
            verb.dataset,
            verb.results,
            protocol=verb.protocol,
            origin=verb.results_origin,
            outputs=outputs,
            console=console,
        )
    else:
        evaluate_trackers(
            verb.dataset,
            verb.tracker,
            protocol=verb.protocol,
            results_out=verb.results_out,
            batch=verb.batch,
            speeds=verb.speeds,
            outputs=outputs,
            console=console,
        )


def _tune(verb: Evaluate, videos: str, outputs: "Outputs", console: Console) -> None:
    """Puts better settings into the bundles, once nothing is left to refuse."""
    from dst_jax.workflows.evaluate import require_places
    from dst_jax.workflows.tune import TRIALS, tune_bundles

    if verb.results is not None:
        raise InputError("--tune is for --tracker; boxes have no settings.")
    places = require_places(
        verb.dataset,
        verb.tracker,
        protocol=verb.protocol,
        results_out=verb.results_out,
        outputs=outputs,
        fresh=True,
    )
    tune_bundles(
        videos,
        list(places.values()),
        reported=verb.dataset,
        trials=TRIALS if verb.trials is None else verb.trials,
        console=console,
    )
