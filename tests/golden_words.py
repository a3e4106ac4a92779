"""Today's words, in the API of the day: all that the goldens need of `dst_jax`.

Options are flat dictionaries with the field names of the commit that the goldens were
recorded at, nested ones as "assign.positives". When the API changes, this file is
what follows it; the goldens and their test stay.
"""

import pathlib
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from dst_jax.arch import spec_id
from dst_jax.arch.zoo import ZOO
from dst_jax.bundle import Bundle, load_bundle, save_bundle
from dst_jax.data.pairs import PairConfig, PairSampler, make_order
from dst_jax.data.pipeline import DataConfig
from dst_jax.data.sequence import Sequence as Video
from dst_jax.distill import (
    DistillConfig,
    Hard,
    LabelConfig,
    Response,
    Setting,
    Sharing,
    Soft,
    Task,
    TaskConfig,
    make_objective,
    with_row,
)
from dst_jax.experiment import Experiment
from dst_jax.models import ModelConfig, build, forward, init_variables
from dst_jax.ops.anchors import AssignConfig, assign, head_anchors
from dst_jax.ops.augment import AugmentConfig, patch_sides
from dst_jax.search import (
    Ledger,
    PolicyConfig,
    SearchConfig,
    Trial,
    append_step,
    run_search,
)
from dst_jax.track import SiamFCTracking, SiamRPNTracking, make_tracker
from dst_jax.track.config import tracking_to_json
from dst_jax.train import (
    AXIS_NAME,
    Constants,
    Crops,
    OptimConfig,
    data_parallel,
    init_state,
    make_optimizer,
    make_train_step,
)
from dst_jax.workflows.scoring import Exam, make_exam_accuracy, make_score
from tests import networks
from tests.track import scenes

_TEACHERS = {"siamfc": networks.TEACHER, "siamrpn": networks.REGION_TEACHER}
_STUDENTS = {"siamfc": networks.STUDENTS, "siamrpn": networks.REGION_STUDENTS}
_TRACKING = {"siamfc": SiamFCTracking, "siamrpn": SiamRPNTracking}
NETWORKS = {
    **{f"zoo/{name}": spec for name, spec in ZOO.items()},
    **{f"tests/{family}/teacher": spec for family, spec in _TEACHERS.items()},
    **{
        f"tests/{family}/{name}": spec
        for family, students in _STUDENTS.items()
        for name, spec in students.items()
    },
}


def versions() -> dict[str, str]:
    """What the numbers may depend on, beside the code."""
    return {
        "jax": jax.__version__,
        "numpy": np.__version__,
        "platform": jax.default_backend(),
    }


def spec_ids() -> dict[str, str]:
    """The identity of every network, by name."""
    return {name: spec_id(spec) for name, spec in NETWORKS.items()}


def pairs_drawn(
    videos: Sequence[tuple[str, str, Sequence[bool]]],
    words: Mapping[str, object],
    *,
    seed: int,
    count: int,
) -> dict[str, np.ndarray]:
    """The first pairs of (video, source, which frames are visible), by column."""
    made = [
        Video(
            name=f"{number}",
            video=video,
            frames=(),
            boxes=np.tile(np.float32([9, 8, 4, 5]), (len(visible), 1)),
            visible=np.array(visible, bool),
            source=source,
        )
        for number, (video, source, visible) in enumerate(videos)
    ]
    words = dict(words)
    turns = {name: words.pop(name) for name in ("sources", "weights")}
    order = make_order(made, **turns)
    sampler = PairSampler(made, PairConfig(**words), seed=seed, order=order)
    return sampler.draw(range(count))._asdict()


def first_weights(network: str, *, seed: int, dtype: str) -> dict[str, np.ndarray]:
    """Freshly drawn variables, "params/..." and "batch_stats/..."."""
    with jax.enable_x64(dtype == "float64"), jax.numpy_dtype_promotion("standard"):
        key = jax.random.key(seed)
        return flat(init_variables(key, NETWORKS[network], param_dtype=dtype))


def anchors_drawn(
    network: str,
    box: Sequence[float],
    words: Mapping[str, object],
    *,
    seed: int,
    is_negative: bool,
) -> dict[str, np.ndarray]:
    """Which anchors a pair learns from, and the weight of each."""
    spec = NETWORKS[network]
    found = assign(
        jax.random.key(seed),
        head_anchors(spec.head, **_grid(spec)),
        np.float32(box),
        is_negative=is_negative,
        config=AssignConfig(**words),
    )
    return {"label": np.asarray(found.label), "weight": np.asarray(found.weight)}


def take_three_steps(
    family: str,
    row: str | None,
    options: Mapping[str, object],
    dtype: str,
    *,
    optim: Mapping[str, object],
    augment: Mapping[str, object],
) -> dict[str, np.ndarray]:
    """Metrics of three steps of two students, and the variables after them.

    Args:
      family: "siamfc" or "siamrpn".
      row: Of Table 4 or 5; None takes the weights of `options`.
      options: Of the objective.
      dtype: "float32" or "float64".
      optim: Of the optimizer.
      augment: Of the crops.

    Returns:
      "0/loss", "0/terms/dull/ah", "0/globals/gate/dull", "0/gradient_norm/dull", ...,
      "params/dull/backbone/...", "batch_stats/dull/backbone/...".
    """
    with jax.enable_x64(dtype == "float64"), jax.numpy_dtype_promotion("standard"):
        return _take_three_steps(family, row, options, dtype, optim, augment)


def _take_three_steps(family, row, options, dtype, optim, augment):
    setting = _setting(options)
    if row is not None:
        setting = setting._replace(distill=with_row(setting.distill, row))
    teacher, students = _TEACHERS[family], _STUDENTS[family]
    crops = Crops(teacher.input, AugmentConfig(**augment), 5, jnp.dtype(dtype))
    tx = make_optimizer(OptimConfig(**optim), total_steps=100)
    objective = make_objective(
        teacher, students, setting, axis_name=AXIS_NAME, dtype=dtype
    )
    step = data_parallel(
        make_train_step(objective, tx, crops, steps_per_epoch=10, axis_name=AXIS_NAME),
        devices=jax.local_devices()[:1],
    )
    state = init_state(jax.random.key(0), students, tx, param_dtype=dtype)
    constants, found = Constants(_teacher_variables(family, dtype)), {}
    for number in range(3):
        sides = patch_sides(teacher.input, crops.augment)
        state, metrics = step(state, constants, _batch(number, sides))
        jax.block_until_ready(state)
        logged = flat(jax.device_get(metrics)._asdict(), f"{number}/")
        later = tuple(f"{number}/globals/{log}/" for log in _LOGS_SINCE)
        found |= {k: v for k, v in logged.items() if not k.startswith(later)}
    learnt = {"params": state.params, "batch_stats": state.batch_stats}
    return found | flat(jax.device_get(learnt))


# What is called "TERM.OPTION" or "PART.OPTION" now, by its name then.
_NOW = {
    "ground_truth": "gt.weight",
    "teacher_soft": "ts.weight",
    "adaptive_hard": "ah.weight",
    "target_response": "str.weight",
    "soft_kl": "ts.direction",
    "soft_form": "ts.form",
    "soft_anchors": "ts.anchors",
    "hard_margin": "ah.margin",
    "hard_gate": "ah.gate",
    "stop_peer": "ks.stop_peer",
    "batch_norm": "model.batch_norm",
    "label_radius_px": "labels.radius_px",
    "regression_weight": "task.regression_weight",
    "regression_beta": "task.regression_beta",
    "warmup_epochs": "distill.warmup_epochs",
}
# Options that came later, at what they were then, and logs that came later.
_SINCE = {
    "ts": {"reduction": "family"},
    "str": {"scale": "mean"},
    "ks": {"gate_loss": "task", "gate_over": "batch", "anchors": "all"},
}
_LOGS_SINCE = ("str_x", "str_z", "gap")
_PREFIXES = {"response_": "str.", "sharing_": "ks.", "assign.": "assign."}


def _setting(options: Mapping[str, object]) -> Setting:
    """Terms, labels and the tracker's own loss, from the flat names of then."""
    parts: dict[str, dict[str, object]] = {}
    for then, value in options.items():
        # One temperature served two terms; sharing was a switch.
        if then == "temperature":
            parts.setdefault("ts", {})[then] = parts.setdefault("ks", {})[then] = value
            continue
        now = "ks.weight" if then == "sharing" else _NOW.get(then)
        for old, new in _PREFIXES.items():
            if now is None and then.startswith(old):
                now = new + then.removeprefix(old)
        owner, _, field = now.partition(".")
        parts.setdefault(owner, {})[field] = (
            float(value) if then == "sharing" else value
        )
    kinds = {"gt": Task, "ah": Hard, "ts": Soft, "str": Response, "ks": Sharing}
    return Setting(
        DistillConfig(
            {n: kind(**_SINCE.get(n, {}), **parts[n]) for n, kind in kinds.items()},
            **parts["distill"],
        ),
        LabelConfig(**parts["labels"], assign=AssignConfig(**parts["assign"])),
        TaskConfig("balanced", **parts["task"]),
        ModelConfig(**parts["model"]),
    )


def _grid(spec) -> dict[str, int]:
    grid = spec.grid(spec.input.train_search_px)
    return {"side": grid.side, "stride": grid.stride, "search_px": grid.search_px}


def _teacher_variables(family: str, dtype: str):
    """A teacher whose features of noise are about 1, as a trained one's.

    Its boxes are poor enough that students beat some of them, which the gate of AH
    looks at.
    """
    variables = init_variables(jax.random.key(9), _TEACHERS[family], param_dtype=dtype)
    norm = variables["batch_stats"]["backbone"]["conv1"]["norm"]
    norm["var"] = np.full_like(norm["var"], 2e4)
    if family == "siamrpn":
        variables["params"]["head"]["regress_adjust"]["kernel"] *= 4.5
    return variables


def _batch(number: int, sides: tuple[int, int], size: int = 4):
    """Made-up patches: of four pairs one is negative, and one of the second batch
    does not count."""
    rng = np.random.default_rng(number)
    patches = [rng.integers(0, 256, (size, s, s, 3), dtype=np.uint8) for s in sides]
    boxes = [np.tile(np.float32([s / 2, s / 2, 17, 14]), (size, 1)) for s in sides]
    mask = np.ones(size, np.float32)
    mask[3] = number != 1
    return {
        "template_patch": patches[0],
        "search_patch": patches[1],
        "template_box": boxes[0],
        "search_box": boxes[1],
        "template_fill_rgb": np.full((size, 3), 128, np.float32),
        "search_fill_rgb": np.full((size, 3), 128, np.float32),
        "is_negative": np.arange(size) == 1,
        "mask": mask,
        "index": np.arange(number * size, (number + 1) * size, dtype=np.int32),
    }


def tracked(
    network: str, words: Mapping[str, object], video: Mapping[str, object]
) -> dict[str, np.ndarray]:
    """Boxes, scores and states of a made-up video of a moving square.

    Args:
      network: "siamfc/scene" or "siamrpn/scene", which follow the square, or
        "siamfc/random" or "siamrpn/random", networks of three stages.
      words: Tracking settings.
      video: Of `scenes.video`.
    """
    family, kind = network.split("/")
    regions = family == "siamrpn"
    if kind == "scene":
        spec = scenes.REGION_SPEC if regions else scenes.SPEC
        variables = scenes.region_weights() if regions else scenes.weights()
    else:
        spec = _TEACHERS[family]
        variables = _teacher_variables(family, "float32")
    tracker = make_tracker(spec, variables, tracking=_TRACKING[family](**words))
    frames, boxes = scenes.video(**video)
    found = tracker.track(frames, boxes[0])
    states = () if found.states is None else found.states
    return {
        "boxes": found.boxes,
        "scores": found.scores,
        "states": np.array(states, np.int32),
    }


def search_ledger(
    family: str,
    workdir: pathlib.Path,
    *,
    options: Mapping[str, object],
    optim: Mapping[str, object],
    augment: Mapping[str, object],
    search: Mapping[str, object],
    policy: Mapping[str, object],
    seed: int,
) -> str:
    """The ledger of a search with real training on made-up patches."""
    parent = _TEACHERS[family]
    augment = AugmentConfig(**augment)
    sides = patch_sides(parent.input, augment)
    experiment = Experiment(
        students={"teacher": parent},
        data=DataConfig(sources=("none:",)),
        augment=augment,
        **_setting(options)._asdict(),
        optim=OptimConfig(**optim),
        search=SearchConfig(**search),
        policy=PolicyConfig(**policy),
        seed=seed,
    )
    held_out = [_batch(number, sides) for number in (8, 9)]
    exam = Exam(experiment, parent, _batch(0, sides), held_out)
    ledger = Ledger(workdir / "ledger.jsonl")

    def report(trials: Sequence[Trial]) -> None:
        nonlocal ledger
        ledger = append_step(ledger, trials)

    with jax.numpy_dtype_promotion("standard"):
        variables = init_variables(jax.random.key(0), parent)
        if family == "siamrpn":
            # Its boxes are the anchors, so that some overlap.
            adjust = variables["params"]["head"]["regress_adjust"]
            adjust["kernel"] = np.zeros_like(adjust["kernel"])
        run_search(
            parent,
            make_exam_accuracy(parent, exam)(variables),
            make_score(exam),
            config=experiment.search,
            policy=experiment.policy,
            seed=seed,
            report=report,
        )
    return ledger.path.read_text()


def save(path: pathlib.Path, network: str, words: Mapping[str, object]) -> None:
    """Writes a bundle with weights and running statistics that are all its own."""
    spec, rng = NETWORKS[network], np.random.default_rng(7)
    variables = jax.tree.map(
        lambda leaf: (
            np.abs(leaf + np.float32(0.1) * rng.random(leaf.shape, np.float32))
            if leaf.ndim == 1
            else leaf
        ),
        init_variables(jax.random.key(2), spec),
    )
    tracking = _TRACKING[_family(spec)](**words)
    save_bundle(Bundle(spec, variables, tracking, {"made": "for tests"}), path)


def load(path: pathlib.Path) -> dict[str, object]:
    """A bundle's identity, its settings, and its answer to made-up images."""
    bundle = load_bundle(path)
    spec, rng = bundle.spec, np.random.default_rng(11)
    sides = spec.input.template_px, spec.input.search_px
    images = [np.float32(rng.integers(0, 256, (2, side, side, 3))) for side in sides]
    answer = forward(build(spec), bundle.variables, *images).answer._asdict()
    answer = {name: np.asarray(value) for name, value in answer.items()}
    return {
        "weights_sha256": bundle.weights_sha256,
        "spec_id": spec_id(spec),
        "tracking": tracking_to_json(bundle.tracking),
        "made": bundle.card["made"],
        "answer": answer,
    }


def _family(spec) -> str:
    return spec.head.family.lower()


def flat(tree: Mapping[str, object], prefix: str = "") -> dict[str, np.ndarray]:
    """Leaves of nested dictionaries by the path to them, sorted."""
    found: dict[str, np.ndarray] = {}
    for name in sorted(tree):
        value = tree[name]
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}/")
        else:
            found[prefix + name] = np.asarray(value)
    return found
