"""What the package computed before it was refactored, to the last digits.

Every option is stated here, so that no default matters; `golden_words` says it to the
API of the day. `golden/README.md` tells where the numbers come from.
"""

import hashlib
import json
import pathlib
import zlib

import numpy as np
import pytest

from tests import golden_words as words

GOLDEN = pathlib.Path(__file__).parent / "golden"
MADE_WITH = json.loads((GOLDEN / "made_with.json").read_text())
# On another jax the last digits may be others.
SAME_JAX = words.versions()["jax"] == MADE_WITH["jax"]
TOLERANCES = (
    {"float32": 1e-5, "float64": 1e-10}
    if SAME_JAX
    else {"float32": 1e-4, "float64": 1e-8}
)
# Leaves whose largest value is smaller are compared absolutely, in units of it: a bias
# before a normalisation has no gradient but rounding.
FLOOR = 1e-3
# Of a loss's terms in float32: a divergence is a small difference of numbers near 1.
TERM_FLOOR = 0.1
FAMILIES = ("siamfc", "siamrpn")

DISTILL = {
    "ground_truth": 0.0,
    "teacher_soft": 1.0,
    "adaptive_hard": 0.1,
    "target_response": 100.0,
    "sharing": True,
    "temperature": 1.0,
    "soft_kl": "student_first",
    "soft_form": "cell",
    "response_layers": (2, 3),
    "response_norm": "l2",
    "response_weighted": True,
    "response_stop_weight": False,
    "response_reduction": "mse",
    "sharing_discount": 0.5,
    # Wide enough for networks without training.
    "sharing_margin": 10.0,
    "sharing_decay": 0.9,
    "sharing_norm": "peers",
    "sharing_gate": "learner",
    "sharing_reduction": "mean",
    "stop_peer": True,
    "warmup_epochs": 0.0,
    "batch_norm": "image",
    "label_radius_px": 4.0,
    "assign.positive_iou": 0.4,
    "assign.negative_iou": 0.3,
    "assign.positives": 3,
    "assign.negatives": 5,
    "assign.window_cells": 3,
    "assign.window_negatives": 16,
    "hard_margin": 0.005,
    "hard_gate": "anchor",
    "soft_anchors": "positive",
    "regression_weight": 1.0,
    "regression_beta": 1.0,
}
# The other choice of every option, all terms at once. The weights keep the terms near
# one another; the margins lie between the two students, so that one gate is closed.
LITERAL = {
    "ground_truth": 0.7,
    "teacher_soft": 1.5,
    "adaptive_hard": 0.2,
    "target_response": 0.01,
    "temperature": 2.0,
    "soft_kl": "teacher_first",
    "response_layers": (1, 3),
    "response_norm": "none",
    "response_weighted": False,
    "response_stop_weight": True,
    "response_reduction": "l2",
    "sharing_discount": 0.3,
    "sharing_decay": 0.8,
    "sharing_norm": "paper",
    "sharing_gate": "peer",
    "sharing_reduction": "sum",
    "stop_peer": False,
    "batch_norm": "pair",
    "label_radius_px": 6.0,
    "assign.positive_iou": 0.35,
    "assign.negative_iou": 0.2,
    "assign.positives": 4,
    "assign.negatives": 7,
    "assign.window_cells": 5,
    "assign.window_negatives": 6,
    "hard_margin": 0.0,
    "hard_gate": "batch",
    "soft_anchors": "all",
    "regression_weight": 1.2,
    "regression_beta": 0.5,
}
LITERAL_OF = {
    "siamfc": {**LITERAL, "soft_form": "map", "sharing_margin": 0.08},
    "siamrpn": {**LITERAL, "sharing_margin": 0.7},
}
ROWS = (
    *("GT", "TS", "GT+TS", "AH+TS", "TS+STR", "GT+TS+STR", "AH+TS+STR"),
    *("NOKD", "TSKD", "TSsKD"),
)
# By name: the row (None: the weights of the options) and what differs of `DISTILL`.
SETTINGS = {
    **{row: (row, {}) for row in ROWS},
    "literal": (None, LITERAL_OF),
    # Ten steps are an epoch: two of three lie within.
    "warmup": ("TSsKD", {family: {"warmup_epochs": 0.15} for family in FAMILIES}),
}
OPTIM = {
    "epochs": 1.0,
    "pairs_per_epoch": 400,
    "learning_rate": 1e-2,
    "final_learning_rate": 1e-3,
    "hold_epochs": 0.0,
    "method": "sgd",
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "clip_norm": 1.0,
}
AUGMENT = {
    "stretch": 0.05,
    "search_stretch": None,
    "scale": 0.0,
    "template_shift_px": 0.0,
    "search_shift_px": 3.0,
    "flip": 0.5,
    "grey": 0.0,
    "brightness": 0.2,
    "colour": 0.0,
    "blur": 0.0,
    "blur_px": 45,
    "fill": "mean",
}
# Crops are cut in float32 whatever follows; for float64 they lie on whole pixels, which
# leaves little to round.
AUGMENTS = {
    "float32": AUGMENT,
    "float64": {**AUGMENT, "stretch": 0.0, "search_shift_px": 0.0, "brightness": 0.0},
}
SEARCH = {
    "steps": 2,
    "candidates": 3,
    "sampler": "policy",
    "layers": (),
    "attributes": ("features", "kernel", "padding"),
    "min_width": 2,
    "pin_geometry": True,
    "mode": "masked",
    "batching": "unrolled",
    "at_once": 0,
    "pairs": 4,
    "epochs": 1.0,
    "batch": 2,
    "validation_pairs": 8,
    "proposals": 10,
}
POLICY = {
    "hidden": 30,
    "learning_rate": 0.01,
    "advantage": "per_rollout",
    "baseline": "ema",
    "ema": 0.9,
    "train_lstm": True,
    "normalise_state": True,
}
TRACKING = {
    "siamfc": {
        "scale_count": 3,
        "scale_step": 1.0375,
        "scale_rate": 0.59,
        "scale_penalty": 0.9745,
        "window_influence": 0.176,
        "response_upsampling": 16,
        "lost_below": None,
        "uncertain_below": None,
    },
    "siamrpn": {
        "penalty_k": 0.055,
        "window_influence": 0.42,
        "size_rate": 0.295,
        "small_target_share": 0.004,
        "small_search_cells": 2,
        "min_side_px": 10.0,
        "lost_below": None,
        "uncertain_below": None,
    },
}
VIDEO = {"count": 12, "start": (60.0, 50.0), "velocity": (3.0, 2.0)}
# Network, tracking settings that differ, and video, by name.
TRACKS = {
    "siamfc": ("siamfc/scene", {}, VIDEO),
    "siamfc-states": (
        "siamfc/random",
        {"lost_below": 0.5858, "uncertain_below": 0.59, "scale_count": 5},
        VIDEO,
    ),
    "siamrpn": ("siamrpn/scene", {}, VIDEO),
    "siamrpn-states": (
        "siamrpn/scene",
        {"lost_below": 0.9, "uncertain_below": 0.95, "window_influence": 0.3},
        VIDEO,
    ),
    # 400 px of 120 x 158: below this share.
    "siamrpn-small": (
        "siamrpn/scene",
        {"small_target_share": 0.022},
        {**VIDEO, "width": 158},
    ),
    "siamrpn-random": ("siamrpn/random", {"penalty_k": 0.2}, VIDEO),
}
BUNDLES = {
    "siamfc": (
        "tests/siamfc/dull",
        {**TRACKING["siamfc"], "scale_step": 1.05, "lost_below": 0.25},
    ),
    "siamrpn": (
        "tests/siamrpn/dull",
        {**TRACKING["siamrpn"], "penalty_k": 0.22, "uncertain_below": 0.5},
    ),
}
# Video, source, and which frames are visible.
VIDEOS = [
    ("a", "north", [1] * 9),
    ("b", "north", [1, 0] * 8),
    ("b", "north", [1] * 16),
    ("c", "south", [0, 0, 1, 1, 1, 1, 0, 1]),
    ("d", "south", [1] * 30),
    ("e", "south", [0, 1]),
    ("f", "west", [1] * 12),
]
PAIRS = {
    "plain": {
        "max_gap": 5,
        "negative_share": 0.0,
        "max_gaps": (),
        "negatives_from": "sequences",
        "sources": (),
        "weights": (),
    },
    "negatives": {
        "max_gap": 3,
        "negative_share": 0.3,
        "max_gaps": (),
        "negatives_from": "sequences",
        "sources": (),
        "weights": (),
    },
    "weights": {
        "max_gap": 100,
        "negative_share": 0.4,
        "max_gaps": (("north", 2), ("south", 7)),
        "negatives_from": "sources",
        "sources": ("north", "south", "west"),
        "weights": (1.0, 2.0, 0.5),
    },
}
SMALL_NETWORKS = (
    *("zoo/mini", "zoo/mini-half", "zoo/mini-dull", "zoo/tiny"),
    *("zoo/mini-siamrpn", "zoo/mini-siamrpn-half", "zoo/mini-siamrpn-dull"),
    "zoo/tiny-siamrpn",
    *(f"tests/{f}/{n}" for f in FAMILIES for n in ("teacher", "dull", "intelligent")),
)
# Network, box in its search crop, whether the pair is negative.
BOXES = {
    "centre": ("zoo/mini-siamrpn", (71.5, 71.5, 40.0, 40.0), False),
    "aside": ("zoo/mini-siamrpn", (88.0, 60.5, 31.0, 52.0), False),
    "corner": ("zoo/mini-siamrpn", (9.0, 130.0, 44.0, 36.0), True),
    "tiny": ("tests/siamrpn/teacher", (23.5, 22.0, 17.0, 14.0), False),
}
ASSIGN = {
    "positive_iou": 0.4,
    "negative_iou": 0.3,
    "positives": 3,
    "negatives": 20,
    "window_cells": 3,
    "window_negatives": 9,
}


def digest(arrays):
    """SHA-256 of named arrays: names, types, shapes and little-endian bytes."""
    found = hashlib.sha256()
    for name, array in arrays.items():
        array = np.ascontiguousarray(array)
        array = array.astype(array.dtype.newbyteorder("<"))
        found.update(f"{name} {array.dtype.str} {array.shape};".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def draws():
    """Digests of all that is drawn at random, by what it is."""
    found = {}
    for name, options in PAIRS.items():
        drawn = words.pairs_drawn(VIDEOS, options, seed=3, count=64)
        found[f"pairs/{name}"] = digest(drawn)
    for name in SMALL_NETWORKS:
        for seed, dtype in ((0, "float32"), (1, "float32"), (0, "float64")):
            drawn = words.first_weights(name, seed=seed, dtype=dtype)
            found[f"weights/{name}/{seed}/{dtype}"] = digest(drawn)
    for name, (network, box, is_negative) in BOXES.items():
        drawn = words.anchors_drawn(
            network, box, ASSIGN, seed=4, is_negative=is_negative
        )
        found[f"anchors/{name}"] = digest(drawn)
    return found


def three_steps(family, setting, dtype):
    """Names, sizes and numbers of all that three steps give; see `shortened`."""
    row, changes = SETTINGS[setting]
    found = words.take_three_steps(
        family,
        row,
        {**DISTILL, **changes.get(family, {})},
        dtype,
        optim=OPTIM,
        augment=AUGMENTS[dtype],
    )
    return {name: shortened(name, array) for name, array in found.items()}


def shortened(name, array):
    """All numbers of a small array, the norm and 16 projections of a large one."""
    flat = np.ravel(array)
    if flat.size < 400:
        return flat
    wide = flat.astype(np.float64)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    rows = rng.standard_normal((16, flat.size)) / np.sqrt(flat.size)
    return np.append(rows @ wide, np.linalg.norm(wide)).astype(flat.dtype)


def recorded_steps(family, setting, dtype):
    """What `three_steps` gave when it was recorded."""
    with np.load(GOLDEN / f"steps_{family}.npz") as file:
        names, sizes = file[f"{setting}/names"], file[f"{setting}/sizes"]
        numbers = file[f"{setting}/{dtype}"]
    parts = np.split(numbers, np.cumsum(sizes)[:-1])
    return dict(zip(names.tolist(), parts, strict=True))


def tracks():
    """Boxes, scores and states of every video, "name/boxes" and so on."""
    found = {}
    for name, (network, changes, video) in TRACKS.items():
        settings = {**TRACKING[network.split("/")[0]], **changes}
        for part, array in words.tracked(network, settings, video).items():
            found[f"{name}/{part}"] = array
    return found


def ledger(family, workdir):
    """The lines of a search's ledger."""
    text = words.search_ledger(
        family,
        workdir,
        options={**DISTILL, "target_response": 1.0},
        optim=OPTIM,
        augment=AUGMENT,
        search=SEARCH,
        policy=POLICY,
        seed=2,
    )
    return text.splitlines()


def assert_same(found, expected, tolerance):
    """Same names, and numbers that differ by no more relative to each leaf's largest.

    See `FLOOR` and `TERM_FLOOR` for small ones.
    """
    assert sorted(found) == sorted(expected)
    apart = {}
    for name, want in expected.items():
        have = found[name]
        assert have.shape == want.shape and have.dtype == want.dtype, name
        if want.size:
            rounded = "/terms/" in name and want.dtype == np.float32
            floor = TERM_FLOOR if rounded else FLOOR
            largest = max(float(np.max(np.abs(want))), floor)
            apart[name] = float(np.max(np.abs(have - want))) / largest
    far = {name: value for name, value in apart.items() if not value <= tolerance}
    assert not far, f"beyond {tolerance}: {far}"


def cases(quick):
    """Parameters of every run of three steps; all that are not quick are slow."""
    return [
        pytest.param(
            *(family, setting, dtype),
            marks=() if quick(setting, dtype) else pytest.mark.slow,
        )
        for family in FAMILIES
        for setting in SETTINGS
        for dtype in TOLERANCES
    ]


def test_architectures_are_the_same():
    expected = json.loads((GOLDEN / "spec_ids.json").read_text())
    found = words.spec_ids()
    # New ones may be added.
    assert {name: found.get(name) for name in expected} == expected


def test_the_same_pairs_weights_and_anchors_are_drawn():
    assert draws() == json.loads((GOLDEN / "draws.json").read_text())


@pytest.mark.parametrize(
    ("family", "setting", "dtype"),
    cases(lambda name, dtype: name in ("TSsKD", "literal") and dtype == "float32"),
)
def test_three_steps_learn_the_same(family, setting, dtype):
    found = three_steps(family, setting, dtype)
    assert_same(found, recorded_steps(family, setting, dtype), TOLERANCES[dtype])


def test_videos_are_tracked_the_same():
    found = tracks()
    with np.load(GOLDEN / "boxes.npz") as file:
        expected = dict(file)
    assert sorted(found) == sorted(expected)
    for name, want in expected.items():
        if name.endswith("/states"):
            np.testing.assert_array_equal(found[name], want, err_msg=name)
        else:
            atol = 0.01 if name.endswith("/boxes") else 1e-4
            np.testing.assert_allclose(
                found[name], want, rtol=0.0, atol=atol, err_msg=name
            )


@pytest.mark.parametrize(
    "family", ["siamfc", pytest.param("siamrpn", marks=pytest.mark.slow)]
)
def test_a_search_tries_the_same_networks(family, tmp_path):
    expected = (GOLDEN / f"ledger_{family}.jsonl").read_text().splitlines()
    found = ledger(family, tmp_path)
    assert len(found) == len(expected) == SEARCH["steps"] * SEARCH["candidates"]
    for ours, theirs in zip(found, expected, strict=True):
        have, want = json.loads(ours), json.loads(theirs)
        for name in ("step", "candidate", "actions"):
            assert have[name] == want[name], name
        if SAME_JAX:
            for name in ("problem", "spec_id", "spec"):
                assert have[name] == want[name], name
            for name in ("reward", "accuracy", "compression"):
                assert have[name] == pytest.approx(want[name], rel=1e-5, abs=1e-7), name


@pytest.mark.parametrize("family", FAMILIES)
def test_a_bundle_of_then_is_read_and_answers_the_same(family):
    expected = json.loads((GOLDEN / "bundles" / "expected.json").read_text())[family]
    found = words.load(GOLDEN / "bundles" / family)
    answer = found.pop("answer")
    assert found == expected
    network, settings = BUNDLES[family]
    assert found["spec_id"] == words.spec_ids()[network]
    assert found["tracking"] == {"kind": family, **settings}
    with np.load(GOLDEN / "bundles" / "answers.npz") as file:
        saved = {n: file[n] for n in file.files if n.startswith(f"{family}/")}
    answer = {f"{family}/{name}": array for name, array in answer.items()}
    assert_same(answer, saved, TOLERANCES["float32"])
