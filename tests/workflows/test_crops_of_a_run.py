"""The crops of a run: patches on the host, crops on the device, each network's view."""

import dataclasses

import jax
import numpy as np
import pytest

from dst_jax.arch import AreaCrop, InputSpec
from dst_jax.data.patches import ROLES, cut_patch
from dst_jax.data.pipeline import DataConfig
from dst_jax.errors import InputError
from dst_jax.experiment import Experiment
from dst_jax.ops.augment import centre_crops
from dst_jax.ops.examples import examples_for
from dst_jax.workflows.training_data import patch_spec, widest_input
from tests import networks

BOX = np.float32([203.7, 151.2, 60.0, 45.0])


def network(input):
    return dataclasses.replace(networks.TEACHER, input=input)


def run_of(**inputs):
    students = {name: network(input) for name, input in inputs.items()}
    return Experiment(students=students, data=DataConfig(sources=("unread:x",)))


def frame_with_target():
    """A dark frame with a bright box of exact, fractional borders at BOX."""
    cx, cy, w, h = BOX.astype(np.float64)

    def cover(length, low, high):
        edges = np.arange(length)
        return np.clip(np.minimum(edges + 1, high) - np.maximum(edges, low), 0, 1)

    rows, columns = (
        cover(300, cy - h / 2, cy + h / 2),
        cover(400, cx - w / 2, cx + w / 2),
    )
    share = np.outer(rows, columns)[..., None]
    return np.round(np.broadcast_to(200.0 * share, (300, 400, 3))).astype(np.uint8)


def host_batch(spec):
    batch = {
        "mask": np.ones(1, np.float32),
        "is_negative": np.zeros(1, bool),
        "index": np.zeros(1, np.int32),
    }
    for role in ROLES:
        patch, box, fill = cut_patch(frame_with_target(), BOX, spec.of(role))
        batch[f"{role}_patch"], batch[f"{role}_fill_rgb"] = patch[None], fill[None]
        batch[f"{role}_box"] = box[None]
    return batch


def cropped(experiment):
    """The crops of `frame_with_target` in a run, in its middle."""
    run = jax.jit(centre_crops, static_argnames="input")
    batch = host_batch(patch_spec(experiment))
    return run(batch, input=widest_input(experiment))


def measured(crop):
    """Width and height of the bright box, and its centre."""
    share = np.asarray(crop[0, ..., 0], np.float64) / 200.0
    columns, rows = share.max(axis=0), share.max(axis=1)
    at = np.arange(len(share)) + 0.5
    centre = [(at * line).sum() / line.sum() for line in (columns, rows)]
    return np.array([*centre, columns.sum(), rows.sum()])


def test_crops_by_area_show_the_target_at_side_over_factor():
    # 24 px per sqrt(w h) in the template, 16 in the search crop.
    input = InputSpec(48, 64, 64, area=AreaCrop(template=2.0, search=4.0))
    experiment = run_of(student=input)
    crops = cropped(experiment)
    root = np.sqrt(60.0 * 45.0)
    for image, px, scale in ((crops.template, 48, 24.0), (crops.search, 64, 16.0)):
        assert image.shape == (1, px, px, 3)
        expected = [px / 2, px / 2, 60 * scale / root, 45 * scale / root]
        np.testing.assert_allclose(measured(image), expected, atol=0.5)
    seen = [32.0, 32.0, 60 * 16 / root, 45 * 16 / root]
    np.testing.assert_allclose(crops.search_box[0], seen, rtol=1e-5)


def test_every_network_sees_the_target_as_large_as_alone():
    far = InputSpec(template_px=31, search_px=63, train_search_px=63)
    near = InputSpec(template_px=63, search_px=95, train_search_px=87)
    experiment = run_of(far=far, near=near)
    widest = widest_input(experiment)
    assert (widest.template_px, widest.train_search_px) == (63, 129)
    crops, view = cropped(experiment), jax.jit(examples_for, static_argnames="input")
    for input in (far, near):
        own, alone = view(crops, input=input), cropped(run_of(student=input))
        np.testing.assert_allclose(own.search_box, alone.search_box, rtol=1e-5)
        for name in ("template", "search"):
            ours, theirs = getattr(own, name), getattr(alone, name)
            assert ours.shape == theirs.shape
            np.testing.assert_allclose(measured(ours), measured(theirs), atol=0.5)


def test_the_teacher_counts_among_the_networks():
    student = InputSpec(template_px=31, search_px=63, train_search_px=47)
    teacher = InputSpec(template_px=31, search_px=63, train_search_px=63)
    experiment = run_of(student=student)
    assert widest_input(experiment) is student
    assert widest_input(experiment, teacher=network(teacher)) is teacher
    alone = patch_spec(experiment)
    both = patch_spec(experiment, teacher=network(teacher))
    # (47 + 6) / .95 = 55.8 -> 57; (63 + 6) / .95 = 72.6 -> 73
    assert (alone.search.patch_px, both.search.patch_px) == (57, 73)
    other = network(dataclasses.replace(teacher, context=0.4))
    with pytest.raises(InputError, match="the teacher is cropped by"):
        widest_input(experiment, teacher=other)
