"""LoReTrack's whole objective at two sizes, against PyTorch: values, gradients."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.distill import Disc, DistillConfig, Qkv, Setting, Task, make_objective
from dst_jax.ops.centre import centre_maps
from dst_jax.ops.examples import Examples
from tests import ostrack_twin
from tests.models import test_ostrack_twin as parity

torch = ostrack_twin.torch
LARGE = 64
BOXES = np.float32([[30.0, 35.0, 20.0, 12.0], [40.0, 22.0, 9.0, 18.0]])


def smaller(images, px):
    """The images of a student whose search image has `px`, as torchvision resizes."""
    return torch.nn.functional.interpolate(
        images,
        scale_factor=px / LARGE,
        mode="bilinear",
        align_corners=False,
        antialias=False,
    )


def detection(found, heat, truth):
    """2 GIoU + 5 L1 + focal, with the boxes of the best cells."""
    p = found["ctr"][:, 0].sigmoid().clamp(1e-4, 1 - 1e-4)
    positive = heat.eq(1).float()
    gain = p.log() * (1 - p) ** 2 * positive
    loss = (1 - p).log() * p**2 * (1 - heat) ** 4 * (1 - positive)
    focal = -(gain + loss).sum() / positive.sum()
    a, b = (
        torch.cat([x[:, :2] - x[:, 2:] / 2, x[:, :2] + x[:, 2:] / 2], -1)
        for x in (ostrack_twin.best_boxes(found), truth)
    )
    shared = torch.minimum(a, b)[:, 2:] - torch.maximum(a, b)[:, :2]
    shared = shared.clamp(min=0).prod(-1)
    span = torch.maximum(a, b)[:, 2:] - torch.minimum(a, b)[:, :2]
    areas = [(x[:, 2:] - x[:, :2]).prod(-1) for x in (a, b)]
    union, hull = sum(areas) - shared, span.prod(-1)
    giou = shared / union - (hull - union) / hull
    return focal + 2 * (1 - giou).mean() + 5 * torch.nn.functional.l1_loss(a, b)


def divergence(student, teacher, weights=1.0):
    """T^2 / B times the sum of KL over cells, T = 4; maps are [b, c, h, w]."""
    student = torch.nn.functional.interpolate(
        student, size=teacher.shape[2:], mode="bilinear", align_corners=False
    )
    log_s, log_t = (torch.log_softmax(x / 4.0, dim=1) for x in (student, teacher))
    cells = (log_t.exp() * (log_t - log_s)).sum(1)
    return 16.0 * (cells * weights).sum() / len(cells)


def apart(values):
    """The middle of the widest gap among the middle half of values."""
    middle = np.sort(values)[len(values) // 4 : -(len(values) // 4)]
    widest = np.argmax(np.diff(middle))
    return float(middle[widest : widest + 2].mean())


def by_pytorch(pair, px):
    """Parts of a student's loss, its gradients, both networks, Disc's threshold."""
    teacher = ostrack_twin.make_twin("mini-ostrack", LARGE, seed=1)
    student = ostrack_twin.make_twin("mini-ostrack", px, seed=2)
    for network in (teacher, student):
        network.to(pair[0].dtype)
    before = {n: a.copy() for n, a in ostrack_twin.state_dict(student).items()}
    with torch.no_grad():
        taught = teacher.eval()(*pair)
    found = student.train()(*(smaller(images, px) for images in pair))
    truth = torch.from_numpy(BOXES).to(pair[0].dtype) / LARGE
    heat = torch.from_numpy(np.array(centre_maps(truth.numpy(), px // 8)))
    squares = taught["search/norm"].square().mean(1)
    threshold = apart(squares.flatten().numpy())
    salient = squares >= threshold
    parts = {
        "gt": detection(found, heat, truth),
        "qkv": 0.01
        * sum(
            divergence(found[f"search/{kind}3"], taught[f"search/{kind}3"])
            for kind in "qkv"
        ),
        "disc": 0.01
        * divergence(
            found["search/norm"],
            taught["search/norm"],
            torch.where(salient, 0.6, 0.4),
        ),
    }
    sum(parts.values()).backward()
    slopes = {n: p.grad.numpy() for n, p in student.named_parameters()}
    values = {name: part.item() for name, part in parts.items()}
    return values, slopes, (before, ostrack_twin.state_dict(teacher)), threshold


def without_drops(px):
    spec = parity.spec_of("mini-ostrack", px)
    backbone = dataclasses.replace(spec.backbone, drop_path=0.0)
    return dataclasses.replace(spec, backbone=backbone)


@pytest.mark.parametrize(
    ("px", "dtype", "value_error", "slope_error"),
    [
        (48, "float32", 1e-4, 2e-3),
        pytest.param(48, "float64", 1e-6, 1e-5, marks=pytest.mark.slow),
        pytest.param(64, "float64", 1e-6, 1e-5, marks=pytest.mark.slow),
    ],
)
def test_a_student_has_the_losses_and_the_gradients_of_pytorch(
    px, dtype, value_error, slope_error
):
    """A small slope is compared to the largest, at a hundredth of the error."""
    with jax.enable_x64(dtype == "float64"):
        template, search = (image.astype(dtype) for image in parity.images(LARGE))
        pair = parity.planes(template), parity.planes(search)
        values, slopes, (before, taught), threshold = by_pytorch(pair, px)
        objective = make_objective(
            without_drops(LARGE),
            {"small": without_drops(px)},
            Setting(
                distill=DistillConfig(
                    {"gt": Task(), "qkv": Qkv(), "disc": Disc(threshold=threshold)}
                )
            ),
            dtype=jnp.dtype(dtype),
        )
        batch = Examples(
            template=jnp.asarray(template),
            search=jnp.asarray(search),
            mask=jnp.ones(2, dtype),
            is_negative=jnp.zeros(2, dtype),
            search_box=jnp.asarray(BOXES, dtype),
            number=jnp.arange(2),
            input=without_drops(LARGE).input,
        )
        own = parity.carried(before)

        @jax.jit
        def graded(params):
            return jax.value_and_grad(objective, has_aux=True)(
                {"small": params},
                {"small": own["batch_stats"]},
                parity.carried(taught),
                batch,
                epoch=jnp.zeros((), dtype),
                key=jax.random.key(0),
            )

        (value, (_, metrics)), gradients = graded(own["params"])
    for name, aim in values.items():
        found = metrics.terms[f"small/{name}"]
        np.testing.assert_allclose(found, aim, rtol=value_error)
    np.testing.assert_allclose(value, sum(values.values()), rtol=value_error)
    expected = parity.carried(slopes)["params"]
    assert jax.tree.structure(gradients["small"]) == jax.tree.structure(expected)
    largest = max(np.abs(aim).max() for aim in jax.tree.leaves(expected))
    for got, aim in zip(
        *map(jax.tree.leaves, (gradients["small"], expected)), strict=True
    ):
        assert got.dtype == dtype
        np.testing.assert_allclose(
            got, aim, rtol=slope_error, atol=0.01 * slope_error * largest
        )
