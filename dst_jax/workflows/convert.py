"""`dst-jax convert` writes bundles from weights of other projects."""

import dataclasses
import pathlib

from rich.console import Console

from dst_jax.arch import ZOO, TrackerSpec, named
from dst_jax.bundle import Bundle, card_sizes, check_place, save_bundle
from dst_jax.convert import SOURCES, read_state_dict, with_scaling
from dst_jax.digests import file_sha256
from dst_jax.errors import InputError
from dst_jax.files import require_place, user_path
from dst_jax.track.config import PRESETS, SIAMDW_PRESETS, SIAMRPN_PRESETS, Tracking
from dst_jax.track.procedure import default_tracking
from dst_jax.workflows.printing import say
from dst_jax.workflows.versions import versions

# Side of the search crop that a preset belongs to, where it is not the network's.
_SEARCH_PX = {"siamdw-rpn-vot17": 271}


def convert(
    source: str,
    file: pathlib.Path,
    out: pathlib.Path,
    *,
    architecture: str | None = None,
    preset: str | None = None,
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
      force: Whether a bundle that is at `out` may be replaced.
      console: Console for the result and the names that were not used.

    Raises:
      InputError: If `source`, `architecture` or `preset` is unknown, `out` is taken,
        the file cannot be read, or the weights do not fit.
    """
    if source not in SOURCES:
        raise InputError(f"--source {source}: there is {', '.join(SOURCES)}.")
    spec = None if architecture is None else named(architecture)
    if preset is not None and preset not in PRESETS:
        raise InputError(f"--preset {preset}: there are {', '.join(PRESETS)}.")
    file, out = user_path(file), user_path(out)
    check_place(out, replace=force)
    require_place(out, space=file.stat().st_size if file.is_file() else 0)
    state = read_state_dict(file)
    try:
        spec = spec or SOURCES[source].recognise(state)
        shown = _shown(spec)
        spec = with_scaling(spec, SOURCES[source].scaling)
        variables, left_over = SOURCES[source].convert(state, spec)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
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
    save_bundle(Bundle(spec, variables, tracking, card), out)
    parameters = card["sizes"]["parameters"]
    found = "all found"
    if SOURCES[source].backbone_alone:
        found = "those of the backbone found; the head is fresh, so use --backbone"
    say(console, f"{out}: {shown}, {parameters:,} parameters, {found}.")
    for name in left_over:
        say(console, f"  did not fit and was left out: {name}")
    return out


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
        raise InputError(
            f"--preset {name}: its settings are for networks of another head; leave it "
            f"out, or give {', '.join(fitting)}."
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
