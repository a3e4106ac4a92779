"""`dst-jax convert` writes bundles from weights of other projects."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from rich.console import Console

from dst_jax.arch import ZOO, TrackerSpec, named
from dst_jax.bundle import Bundle, card_sizes, check_place, save_bundle
from dst_jax.convert import SOURCES, Source, read_state_dict, with_scaling
from dst_jax.convert.sources import StateDict
from dst_jax.digests import file_sha256
from dst_jax.errors import InputError
from dst_jax.files import require_place, user_path
from dst_jax.track.config import PRESETS, SIAMDW_PRESETS, SIAMRPN_PRESETS, Tracking
from dst_jax.track.procedure import default_tracking
from dst_jax.workflows.printing import say
from dst_jax.workflows.versions import versions

# Side of the search crop that a preset belongs to, where it is not the network's.
_SEARCH_PX = {"siamdw-rpn-vot17": 271}


@dataclasses.dataclass(frozen=True)
class Grid:
    """What the weights of a transformer leave open.

    Attributes:
      search_factor: Number of sqrt(w h) that a search crop shows; None where
        the architecture is named or the project has one rule.
      resize_positions: Whether positions are resized for the named architecture.
    """

    search_factor: float | None = None
    resize_positions: bool = False


def convert(
    source: str,
    file: pathlib.Path,
    out: pathlib.Path,
    *,
    architecture: str | None = None,
    preset: str | None = None,
    grid: Grid = Grid(),
    force: bool = False,
    console: Console,
) -> pathlib.Path:
    """Writes a bundle from the weights in `file` and returns its folder.

    Args:
      source: Project whose format `file` has, one of `SOURCES`.
      file: A PyTorch state dict.
      out: Folder of the bundle.
      architecture: Name in the zoo of the weights' architecture. None for that of the
        project; where it has several, the shapes in the file decide.
      preset: Name in `PRESETS` of the settings for tracking; None for those of
        `public_tracking`.
      grid: What the weights of a transformer leave open.
      force: Whether a bundle that is at `out` may be replaced.
      console: Console for the result and the names that were not used.

    Raises:
      InputError: If `source`, `architecture` or `preset` is unknown, `out` is taken,
        the file cannot be read, or the weights do not fit.
    """
    if source not in SOURCES:
        raise InputError(f"--source {source}: there is {', '.join(SOURCES)}.")
    spec = None if architecture is None else named(architecture)
    _require_fit(SOURCES[source], grid, source=source, named=spec is not None)
    if preset is not None and preset not in PRESETS:
        raise InputError(f"--preset {preset}: there are {', '.join(PRESETS)}.")
    file, out = user_path(file), user_path(out)
    check_place(out, replace=force)
    require_place(out, space=file.stat().st_size if file.is_file() else 0)
    made = _converted(SOURCES[source], file, spec, grid)
    spec, left_over = made.spec, made.left_over
    tracking = public_tracking(spec) if preset is None else _preset(preset, spec)
    spec = _with_search_px(spec, _SEARCH_PX.get(preset or ""))
    card = {
        "made_by": "dst-jax convert",
        "source": source,
        "source_file": file.name,
        "source_sha256": file_sha256(file),
        "left_over": list(left_over),
        "backbone_alone": SOURCES[source].backbone_alone,
        "versions": versions(),
        "sizes": card_sizes(spec),
    }
    save_bundle(Bundle(spec, made.variables, tracking, card), out)
    _tell(out, made, SOURCES[source], card["sizes"]["parameters"], console)
    return out


class _Made(NamedTuple):
    spec: TrackerSpec
    shown: str
    variables: Mapping[str, Any]
    left_over: tuple[str, ...]


def _converted(
    of: Source, file: pathlib.Path, spec: TrackerSpec | None, grid: Grid
) -> _Made:
    """Returns architecture and variables of the weights in a file."""
    state: StateDict = read_state_dict(file)
    try:
        spec = spec or _recognised(of, state, grid)
        if grid.resize_positions and of.resize:
            state = of.resize(state, spec)
        shown = _shown(spec)
        spec = with_scaling(spec, of.scaling)
        return _Made(spec, shown, *of.convert(state, spec))
    except InputError as error:
        raise InputError(f"{file}: {error}") from None


def _tell(
    out: pathlib.Path, made: _Made, of: Source, parameters: int, console: Console
) -> None:
    """Prints what was converted and what was not."""
    found = "all found"
    if of.backbone_alone:
        found = "those of the backbone found; the head is fresh, so use --backbone"
    say(console, f"{out}: {made.shown}, {parameters:,} parameters, {found}.")
    for name in made.left_over:
        say(console, f"  did not fit and was left out: {name}")
    if of.note:
        say(console, f"{of.note}{out}")


def _require_fit(of: Source, grid: Grid, *, source: str, named: bool) -> None:
    """Raises InputError if a setting of the grid says nothing for these weights."""
    if grid.search_factor is not None:
        if of.by_factor is None:
            raise InputError(
                f"--search-factor: weights of {source} have one rule of cropping; "
                "leave it out."
            )
        if named:
            raise InputError(
                "--search-factor: --architecture says how much a search crop shows; "
                "leave one of them out."
            )
    if grid.resize_positions and (of.resize is None or not named):
        raise InputError(
            "--resize-positions: is for weights of ostrack and needs --architecture, "
            "for whose crops their positions are resized."
        )


def _recognised(of: Source, state: StateDict, grid: Grid) -> TrackerSpec:
    if grid.search_factor is None or of.by_factor is None:
        return of.recognise(state)
    return of.by_factor(state, grid.search_factor)


def public_tracking(spec: TrackerSpec) -> Tracking:
    """Returns the settings for tracking with the public weights of an architecture.

    The network `siamrpn` was released twice, as SiamRPNvot and SiamRPNotb. Its weights
    do not show which of them they are, so they get the settings of the first. SiamDW's
    get those for OTB-2015.
    """
    for name in ("siamdw", "siamdw-rpn"):
        if spec == named(name):
            return SIAMDW_PRESETS[f"{name}-otb15"]
    if spec == named("siamrpn"):
        return SIAMRPN_PRESETS["vot"]
    return default_tracking(spec)


def _preset(name: str, spec: TrackerSpec) -> Tracking:
    fitting = [one for one, found in PRESETS.items() if _fits(spec, found)]
    if name not in fitting:
        others = f", or give {', '.join(fitting)}" if fitting else ""
        raise InputError(
            f"--preset {name}: its settings are for networks of another head; leave it "
            f"out{others}."
        )
    return PRESETS[name]


def _fits(spec: TrackerSpec, tracking: Tracking) -> bool:
    return isinstance(tracking, type(default_tracking(spec)))


def _with_search_px(spec: TrackerSpec, search_px: int | None) -> TrackerSpec:
    """Returns the architecture with the search crop that a preset was tuned for."""
    if search_px is None:
        return spec
    return dataclasses.replace(
        spec, input=dataclasses.replace(spec.input, search_px=search_px)
    )


def _shown(spec: TrackerSpec) -> str:
    """Returns an architecture's name in the zoo, or its sizes if it has none."""
    for name, known in ZOO.items():
        if known == spec:
            return name
    return spec.backbone.sizes
