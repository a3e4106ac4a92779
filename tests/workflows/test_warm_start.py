"""What students begin with: whole bundles, or backbones of others."""

import dataclasses

import jax
import numpy as np
import pytest

from dst_jax import arch
from dst_jax.bundle import Bundle, load_bundle, save_bundle
from dst_jax.errors import InputError
from dst_jax.models import init_variables
from dst_jax.track.config import SiamFCTracking
from dst_jax.train import OptimConfig, init_state, make_optimizer
from dst_jax.workflows.warm_start import load_start
from tests import networks

pytestmark = pytest.mark.optax

# The same backbone under another head.
STUDENTS = {"r": networks.REGION_TEACHER, "s": networks.REGION_STUDENTS["dull"]}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A bundle of the tiny SiamFC teacher, whose statistics are not the first ones."""
    variables = init_variables(jax.random.key(3), networks.TEACHER)
    stats = jax.tree.map(lambda x: x + np.float32(0.5), variables["batch_stats"])
    variables = {**variables, "batch_stats": stats}
    bundle = Bundle(networks.TEACHER, variables, SiamFCTracking(), {})
    return save_bundle(bundle, tmp_path_factory.mktemp("b") / "teacher")


def state_of(start):
    tx = make_optimizer(OptimConfig(), total_steps=1)
    return init_state(
        jax.random.key(0),
        STUDENTS,
        tx,
        backbones={name: bundle.variables for name, bundle in start.backbones.items()},
    )


def assert_same(one, two):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_backbone_is_copied_with_its_statistics_and_nothing_else(path):
    start = load_start(STUDENTS, {}, {"r": path})
    given, plain = state_of(start), state_of(load_start(STUDENTS, {}, {}))
    source = start.backbones["r"].variables
    assert_same(given.params["r"]["backbone"], source["params"]["backbone"])
    assert_same(given.batch_stats["r"]["backbone"], source["batch_stats"]["backbone"])
    assert_same(given.params["r"]["head"], plain.params["r"]["head"])
    assert_same(given.params["s"], plain.params["s"])
    kernels = (s.params["r"]["backbone"]["conv1"]["conv"] for s in (given, plain))
    assert np.any(next(kernels)["kernel"] != next(kernels)["kernel"])


def test_runs_without_backbones_keep_their_identity(path):
    assert load_start(STUDENTS, {}, {}).identity == {"init": {}}
    found = load_start(STUDENTS, {}, {"r": path})
    digest = found.backbones["r"].weights_sha256
    assert found.identity == {"init": {}, "backbone": {"r": digest}}


def test_crops_of_another_size_do_not_matter(path):
    wider = dataclasses.replace(networks.REGION_TEACHER.input, train_search_px=63)
    student = dataclasses.replace(networks.REGION_TEACHER, input=wider)
    assert load_start({"r": student}, {}, {"r": path}).backbones


@pytest.mark.parametrize(
    ("student", "message"),
    [
        (
            STUDENTS["s"],
            r"--backbone r=...: its conv1/conv/bias has shape \(6,\), the student's "
            r"\(2,\); give a backbone of the same stages and widths",
        ),
        (
            dataclasses.replace(
                networks.TEACHER,
                backbone=dataclasses.replace(
                    networks.TEACHER.backbone,
                    layers=networks.TEACHER.backbone.layers[:2],
                ),
            ),
            r"its conv3/conv/bias has shape \(6,\), the student's none; give",
        ),
        (
            dataclasses.replace(
                networks.TEACHER,
                input=dataclasses.replace(networks.TEACHER.input, scale=1 / 255),
            ),
            r"its InputSpec.scale is 1.0, the student's 0.00392.*; give a backbone",
        ),
    ],
    ids=["widths", "stages", "input"],
)
def test_a_backbone_that_does_not_fit_is_one_line(path, student, message):
    with pytest.raises(InputError, match=message) as told:
        load_start({"r": student}, {}, {"r": path})
    assert "\n" not in str(told.value)


def test_a_student_begins_with_one_bundle_that_is_its_own(path):
    with pytest.raises(InputError, match=r"--backbone x=...: there is no such student"):
        load_start(STUDENTS, {}, {"x": path})
    with pytest.raises(InputError, match=r"--init x=...: there is no such student"):
        load_start(STUDENTS, {"x": path}, {})
    with pytest.raises(InputError, match=r"--init gives all weights of r; give one"):
        load_start(STUDENTS, {"r": path}, {"r": path})
    with pytest.raises(InputError, match=r"--init r=...: the bundle's architecture is"):
        load_start(STUDENTS, {"r": path}, {})
    same = {"t": arch.with_widths(networks.TEACHER, networks.TEACHER.backbone.widths)}
    assert load_start(same, {"t": path}, {}).whole


def test_a_backbone_alone_begins_a_student_and_is_no_tracker(path, tmp_path):
    whole = load_bundle(path)
    card = {"backbone_alone": True}
    alone = save_bundle(dataclasses.replace(whole, card=card), tmp_path / "alone")
    start = load_start(STUDENTS, {}, {"r": alone})
    assert_same(start.backbones["r"].variables, whole.variables)
    with pytest.raises(InputError, match="alone: holds a backbone alone"):
        load_bundle(alone)
    with pytest.raises(InputError, match="holds a backbone alone"):
        load_start({"t": networks.TEACHER}, {"t": alone}, {})
