"""`dst-jax convert`: weights of other projects become bundles."""

import pathlib

from rich.console import Console

from dst_jax.arch import ZOO, TrackerSpec, named
from dst_jax.bundle import Bundle, card_sizes, save_bundle
from dst_jax.convert import SOURCES, read_state_dict
from dst_jax.errors import InputError
from dst_jax.files import file_sha256, user_path
from dst_jax.track.config import SIAMRPN_PRESETS, Tracking
from dst_jax.track.procedure import default_tracking, require_matching
from dst_jax.workflows.versions import versions


def convert(
    source: str,
    file: pathlib.Path,
    out: pathlib.Path,
    *,
    architecture: str | None = None,
    preset: str | None = None,
    console: Console,
) -> pathlib.Path:
    """Writes the bundle `out` from the weights in `file`.

    Args:
      source: Whose format `file` has, one of `SOURCES`.
      file: A PyTorch state dict.
      out: Folder of the bundle.
      architecture: Name in the zoo that the weights were trained with; None: the one
        of that project, by the shapes in the file where it has several.
      preset: Name in `SIAMRPN_PRESETS` of the settings to track with; None: those of
        `public_tracking`.
      console: Where what was done, and what did not fit, is said.

    Raises:
      InputError: If source or preset are unknown, or the weights do not fit.
    """
    if source not in SOURCES:
        raise InputError(f"--source {source}: there is {', '.join(SOURCES)}.")
    spec = None if architecture is None else named(architecture)
    file = user_path(file)
    state = read_state_dict(file)
    try:
        spec = spec or SOURCES[source].recognise(state)
        variables, left_over = SOURCES[source].convert(state, spec)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    tracking = public_tracking(spec) if preset is None else _preset(preset, spec)
    card = {
        "made_by": "dst-jax convert",
        "source": source,
        "source_file": file.name,
        "source_sha256": file_sha256(file),
        "left_over": list(left_over),
        "versions": versions(),
        "sizes": card_sizes(spec),
    }
    save_bundle(Bundle(spec, variables, tracking, card), out)
    parameters = card["sizes"]["parameters"]
    line = f"{out}: {_shown(spec)}, {parameters:,} parameters, all found."
    console.print(line, soft_wrap=True)
    for name in left_over:
        console.print(f"  did not fit and was left out: {name}")
    return out


def public_tracking(spec: TrackerSpec) -> Tracking:
    """The settings with which the public weights of an architecture are run.

    The network of normal width was released twice, as SiamRPNvot and SiamRPNotb; the
    weights do not say which, and get the settings of the first unless asked otherwise.
    """
    if spec == named("siamrpn"):
        return SIAMRPN_PRESETS["vot"]
    return default_tracking(spec)


def _preset(name: str, spec: TrackerSpec) -> Tracking:
    known = ", ".join(SIAMRPN_PRESETS)
    if name not in SIAMRPN_PRESETS:
        raise InputError(f"--preset {name}: there are {known}.")
    try:
        require_matching(spec, SIAMRPN_PRESETS[name])
    except InputError:
        raise InputError(
            f"--preset {name}: {known} are for networks that propose regions; leave "
            "it out."
        ) from None
    return SIAMRPN_PRESETS[name]


def _shown(spec: TrackerSpec) -> str:
    """The name in the zoo, or the widths of a network that has none."""
    for name, known in ZOO.items():
        if known == spec:
            return name
    return f"widths {list(spec.backbone.widths)}"
