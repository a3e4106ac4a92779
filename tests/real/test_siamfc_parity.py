"""The converted teacher against PyTorch and against the public tracker's own boxes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.arch import named
from dst_jax.boxes import iou, xywh_to_cxcywh
from dst_jax.convert import read_state_dict, siamfc_from_pytorch
from dst_jax.data.frames import frame_paths, read_frame
from dst_jax.models import build, remember, respond
from dst_jax.ops.crop import crop_resize_snapped
from dst_jax.track import make_tracker

pytestmark = pytest.mark.real
SPEC = named("siamfc-alexnet")
SEQUENCES = (
    "Crossing Dancer2 Deer Dog Girl Human7 Jogging-1 Jogging-2 Jumping MountainBike "
    "Skiing Surfer Woman"
).split()


@pytest.fixture(scope="module")
def state_dict(real_data):
    pytest.importorskip("torch", reason="reading .pth weights needs PyTorch")
    path = real_data.parent / "weights" / "siamfc_alexnet.pth"
    if not path.is_file():
        pytest.skip(f"no weights at {path}")
    return read_state_dict(path)


@pytest.fixture(scope="module")
def tracker(state_dict):
    return make_tracker(SPEC, siamfc_from_pytorch(state_dict, SPEC)[0])


def read_boxes(path):
    """cxcywh, 0-based, from OTB's 1-based x,y,w,h."""
    text = path.read_text().replace(",", " ").replace("\t", " ")
    rows = np.loadtxt(text.splitlines(), ndmin=2)
    return xywh_to_cxcywh(rows - np.array([1.0, 1.0, 0.0, 0.0]))


def torch_response(state_dict, template, search):
    """SiamFC's forward pass in PyTorch, straight from the state dict."""
    import torch
    from torch.nn import functional

    state = {name: torch.from_numpy(array) for name, array in state_dict.items()}

    def features(image):
        x = torch.from_numpy(image).permute(0, 3, 1, 2)
        for k, (stride, groups) in enumerate([(2, 1), (1, 2), (1, 1), (1, 2), (1, 2)]):
            name = f"backbone.conv{k + 1}"
            weight, bias = state[f"{name}.0.weight"], state[f"{name}.0.bias"]
            x = functional.conv2d(x, weight, bias, stride=stride, groups=groups)
            if k < 4:
                norm = ("running_mean", "running_var", "weight", "bias")
                parts = [state[f"{name}.1.{part}"] for part in norm]
                x = functional.relu(functional.batch_norm(x, *parts, eps=1e-6))
            if k < 2:
                x = functional.max_pool2d(x, 3, 2)
        return x

    with torch.inference_mode():
        kernel = features(template)
        return functional.conv2d(features(search), kernel).numpy()[:, 0] * 1e-3


def test_responses_agree_with_pytorch_on_real_crops(real_data, state_dict, tracker):
    module = build(SPEC)

    @jax.jit
    def ours(template, search):
        memory = remember(module, tracker.variables, template)
        return respond(module, tracker.variables, memory, search).response

    cut = jax.jit(crop_resize_snapped, static_argnames="out_px")
    for name in ("Deer", "Girl"):
        path = frame_paths(real_data / "otb" / name / "img")[0]
        frame = jnp.asarray(read_frame(path))
        box = read_boxes(real_data / "otb" / name / "groundtruth_rect.txt")[0]
        side = float(np.sqrt(np.prod(box[2:] + box[2:].sum() / 2)))
        template, search = (
            np.array(
                cut(
                    frame,
                    jnp.asarray(box[:2], jnp.float32),
                    jnp.float32(side * px / 127),
                    out_px=px,
                    fill=jnp.array([90.0, 100.0, 110.0]),
                )
            )[None]
            for px in (127, 255)
        )
        expected = torch_response(state_dict, template, search)
        error = np.abs(ours(template, search) - expected).max()
        assert error <= 1e-4 * np.abs(expected).max()


def overlap(real_data, tracker, name, frames):
    paths = frame_paths(real_data / "otb" / name / "img")[:frames]
    first = read_boxes(real_data / "otb" / name / "groundtruth_rect.txt")[0]
    reference = real_data.parent / "reference" / "siamfc_pytorch_otb" / f"{name}.txt"
    if not reference.is_file():
        pytest.skip(f"no reference boxes at {reference}")
    result = tracker.track(
        (read_frame(path) for path in paths), first.astype(np.float32)
    )
    ious = iou(result.boxes.astype(np.float64), read_boxes(reference)[: len(paths)])
    return float(ious.mean())


@pytest.mark.parametrize(("name", "frames"), [("Deer", 20)])
def test_boxes_agree_with_the_public_tracker(real_data, tracker, name, frames):
    assert overlap(real_data, tracker, name, frames) >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("name", SEQUENCES)
def test_boxes_agree_over_whole_sequences(real_data, tracker, name):
    assert overlap(real_data, tracker, name, None) >= 0.95
