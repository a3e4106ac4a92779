"""The yardstick in PyTorch computes what it is compared with."""

import importlib
import pathlib
import sys
import types

import jax
import numpy as np
import pytest

from dst_jax.arch import named, with_widths
from dst_jax.distill import DistillConfig, Task, with_row
from dst_jax.ops.crop import crop_resize

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def scripts():
    folder = str(pathlib.Path(__file__).parents[2] / "scripts")
    sys.path.insert(0, folder)
    try:
        names = ("bench_step", "step_sides", "torch_crops", "torch_terms")
        yield types.SimpleNamespace(**{n: importlib.import_module(n) for n in names})
    finally:
        sys.path.remove(folder)


@pytest.mark.optax
@pytest.mark.slow
@pytest.mark.parametrize("family", ["tiny", "tiny-siamrpn", "mini-siamrpnpp"])
def test_one_step_in_pytorch_equals_ours(scripts, family):
    sides = scripts.step_sides
    if family == "mini-siamrpnpp":
        teacher, dull, intelligent = scripts.bench_step.families()[family]
    else:
        teacher = named(family)
        widths = (2, 4, 4, 4, 4), (4, 4, 6, 6, 4)
        dull, intelligent = (with_widths(teacher, w) for w in widths)
    students = {"dull": dull, "intelligent": intelligent}
    workload = sides.Workload(teacher, students, batch=2)
    batch = sides.host_batch(workload)
    ours = sides.make_ours(workload, batch)
    differences = sides.compare(ours, batch)
    assert {name.split("/")[1] for name in differences} == {
        *("ts", "ah", "str", "ks"),
        *("gradient", "update"),
    }
    scripts.bench_step.check(differences, 1e-4)
    targets = sides.our_targets(ours, "cpu")
    assert (targets.label == 1).any() and (targets.label == 0).any()


def test_a_difference_ends_the_benchmark(scripts):
    with pytest.raises(SystemExit, match="differ in dull/ts"):
        scripts.bench_step.check({"dull/ts": 2e-4, "dull/ah": 1e-6}, 1e-4)
    with pytest.raises(SystemExit, match="differ in dull/ts"):
        scripts.bench_step.check({"dull/ts": float("nan")}, 1e-4)


@pytest.mark.parametrize(
    "config",
    [
        with_row(DistillConfig(), "TSKD"),
        DistillConfig().with_terms(gt=Task()),
        DistillConfig(warmup_epochs=1.0),
    ],
)
def test_an_objective_that_pytorch_does_not_have_ends_the_benchmark(scripts, config):
    with pytest.raises(SystemExit, match="has the terms ah, ts, str and ks"):
        scripts.torch_terms.paper_terms(config)


def test_opencv_cuts_the_crops_that_we_cut(scripts):
    step = scripts.torch_crops
    # A smooth picture: OpenCV interpolates between steps of 1/32 pixel.
    y, x = np.mgrid[:60, :60]
    patch = np.stack([2 * x + y, x + 2 * y, 120 + x - y], axis=-1).astype(np.uint8)
    centre, size = np.array([[29.3, 31.2]]), np.array([[38.5, 41.0]])
    ours = jax.jit(crop_resize, static_argnames=("out_px",))(
        patch, *np.float32([centre[0], size[0]]), out_px=40, fill=np.zeros(3, "f4")
    )
    found = step.cut(patch[None], step.Window(centre, size), 40)[0]
    gap = np.abs(found.permute(1, 2, 0).numpy() - np.asarray(ours))
    assert gap.max() <= 1.0
