"""Reads the frames that a page shows, and asks networks what they respond to."""

import pathlib
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from dst_jax import losses
from dst_jax.arch import InputSpec, TrackerSpec
from dst_jax.bundle import Bundle, load_bundle
from dst_jax.data import sequence as data
from dst_jax.data.frames import read_frame
from dst_jax.data.patches import RolePatch, cut_patch
from dst_jax.evaluate.page import Answer as Seen
from dst_jax.evaluate.page import Benchmark, Response, Strip
from dst_jax.evaluate.page.pictures import followed, in_the_picture, picks
from dst_jax.models import Answer as Answers
from dst_jax.models import Output, build, forward, proposals

_SHOWN = 5  # frames of a sequence
_LATER = 10  # the frame in which networks are asked, if there are as many
_ACTIVATIONS = {"activation": False, "activation with W": True}


def make_strips(
    benchmark: Benchmark, sequences: Sequence[data.Sequence]
) -> tuple[Strip, ...]:
    """Returns frames of the worst, the median and the best sequence.

    Args:
      benchmark: The trackers; without boxes, as of runs with restarts, there are none.
      sequences: The data set; without frames there are none.

    Raises:
      InputError: If a frame cannot be read.
    """
    found, shown = {s.name: s for s in sequences}, in_the_picture(benchmark)
    strips = []
    for place, name in picks(benchmark).items() if shown else ():
        sequence = found[name]
        if not sequence.frames:
            continue
        last = len(sequence.frames) - 1
        times = np.linspace(0, last, _SHOWN + 1).round().astype(int)[1:]
        boxes = {entry.name: _boxes(entry.networks[0].boxes[name]) for entry in shown}
        score = followed(benchmark).networks[0].score.sequences[name]
        strips.append(
            Strip(
                name,
                place,
                {int(t): read_frame(sequence.frames[t]) for t in sorted(set(times))},
                boxes,
                np.asarray(sequence.boxes, float),
                score.values[benchmark.measure],
            )
        )
    return tuple(strips)


def _boxes(found: np.ndarray) -> np.ndarray:
    """Returns the boxes of the first run."""
    return found if found.ndim == 2 else found[0]


def make_responses(
    benchmark: Benchmark,
    bundles: Mapping[str, pathlib.Path],
    sequences: Sequence[data.Sequence],
) -> tuple[Response, ...]:
    """Returns what networks respond to in the worst and the best sequence.

    Args:
      benchmark: The trackers.
      bundles: Folders of bundles by the names of entries.
      sequences: The data set; without frames there is nothing.

    Raises:
      InputError: If a frame cannot be read.
    """
    names = [e.name for e in in_the_picture(benchmark) if e.name in bundles]
    found = {s.name: s for s in sequences if s.frames}
    chosen = [name for name in picks(benchmark).values() if name in found]
    chosen = list(dict.fromkeys([*chosen[:1], *chosen[-1:]]))
    answers = {
        name: _answers(bundles[name], [found[s] for s in chosen]) for name in names
    }
    return tuple(
        Response(s, _later(found[s]), {name: answers[name][s] for name in names})
        for s in chosen
        if names
    )


def _later(sequence: data.Sequence) -> int:
    return min(_LATER, len(sequence.frames) - 1)


def _answers(path: pathlib.Path, sequences: Sequence[data.Sequence]) -> dict[str, Seen]:
    """Returns what one network answers in each sequence; it is compiled once."""
    bundle = load_bundle(path)
    module = build(bundle.spec)
    ask = jax.jit(
        lambda template, search: forward(module, bundle.variables, template, search)
    )
    found = {}
    for sequence in sequences:
        (template, _), (search, box) = _crops(bundle.spec.input, sequence)
        output = ask(template[None].astype(np.float32), search[None].astype(np.float32))
        maps = _maps(bundle, output)
        found[sequence.name] = Seen(np.clip(search, 0, 255).astype(np.uint8), box, maps)
    return found


def _maps(bundle: Bundle, output: Output) -> dict[str, tuple[np.ndarray, int]]:
    """Returns the last layer's activation, without and with W, and the response."""
    spec = bundle.spec
    stage, search_px = spec.backbone.stage_names[-1], spec.input.search_px
    pair = output.taps[f"search/{stage}"], output.taps[f"template/{stage}"]
    stride = spec.maps(search_px)[-1].stride
    found = {
        what: (np.asarray(losses.search_response(*pair, weighted=weighted)[0]), stride)
        for what, weighted in _ACTIVATIONS.items()
    }
    response = _likeliest(spec, output.answer, search_px)
    return {**found, "response": (response, spec.grid(search_px).stride)}


def _crops(
    input: InputSpec, sequence: data.Sequence
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns the template crop and a later search crop, each with the target's box."""
    template_patch = RolePatch(input.template_px, input.zooms.template)
    search_patch = RolePatch(input.search_px, input.zooms.search)
    fill = None if input.area is None else np.zeros(3, np.float32)
    images = []
    for time, side in ((0, template_patch), (_later(sequence), search_patch)):
        frame = read_frame(sequence.frames[time])
        # Where the target is absent there is no box, and the first one is used.
        box = sequence.boxes[time if np.isfinite(sequence.boxes[time]).all() else 0]
        patch, box_in_patch, _ = cut_patch(frame, box, side, fill=fill)
        images.append((patch, box_in_patch))
    return images


def _likeliest(spec: TrackerSpec, answer: Answers, search_px: int) -> np.ndarray:
    """Returns the log-odds of each cell's likeliest proposal."""
    side = spec.response_side(search_px)
    scores = np.asarray(proposals(spec, answer, search_px=search_px).scores[0])
    return scores.reshape(side, side, -1).max(axis=-1)
