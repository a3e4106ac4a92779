"""LoReTrack's whole objective across two sizes, against PyTorch: values, gradients."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from dst_jax.distill import Disc, DistillConfig, Qkv, Setting, Task, make_objective
from dst_jax.ops.centre import centre_maps
from dst_jax.ops.examples import Examples
from tests import ostrack_twin
from tests.models import test_ostrack_twin as parity

torch = ostrack_twin.torch
LARGE, SMALL = 64, 48
BOXES = np.float32([[30.0, 35.0, 20.0, 12.0], [40.0, 22.0, 9.0, 18.0]])


def smaller(images):
    """The student's images, as torchvision resizes tensors."""
    return torch.nn.functional.interpolate(
        images,
        scale_factor=SMALL / LARGE,
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


def by_pytorch(pair):
    """Parts of a student's loss, its gradients, both networks, Disc's threshold."""
    teacher = ostrack_twin.make_twin("mini-ostrack", LARGE, seed=1)
    student = ostrack_twin.make_twin("mini-ostrack", SMALL, seed=2)
    before = {n: a.copy() for n, a in ostrack_twin.state_dict(student).items()}
    with torch.no_grad():
        taught = teacher.eval()(*pair)
    found = student.train()(*map(smaller, pair))
    truth = torch.from_numpy(BOXES) / LARGE
    heat = torch.from_numpy(np.array(centre_maps(truth.numpy(), SMALL // 8)))
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


def test_a_smaller_student_has_the_loss_and_the_gradients_of_pytorch():
    template, search = parity.images(LARGE)
    pair = parity.planes(template), parity.planes(search)
    values, slopes, (before, taught), threshold = by_pytorch(pair)
    terms = {"gt": Task(), "qkv": Qkv(), "disc": Disc(threshold=threshold)}
    teacher, student = without_drops(LARGE), without_drops(SMALL)
    objective = make_objective(
        teacher, {"small": student}, Setting(distill=DistillConfig(terms))
    )
    batch = Examples(
        template=jnp.asarray(template),
        search=jnp.asarray(search),
        mask=jnp.ones(2),
        is_negative=jnp.zeros(2),
        search_box=jnp.asarray(BOXES),
        number=jnp.arange(2),
        input=teacher.input,
    )
    own = parity.carried(before)

    @jax.jit
    def graded(params):
        return jax.value_and_grad(objective, has_aux=True)(
            {"small": params},
            {"small": own["batch_stats"]},
            parity.carried(taught),
            batch,
            epoch=jnp.zeros(()),
            key=jax.random.key(0),
        )

    (value, (_, metrics)), gradients = graded(own["params"])
    for name, aim in values.items():
        np.testing.assert_allclose(metrics.terms[f"small/{name}"], aim, rtol=1e-4)
    np.testing.assert_allclose(value, sum(values.values()), rtol=1e-4)
    expected = parity.carried(slopes)["params"]
    assert jax.tree.structure(gradients["small"]) == jax.tree.structure(expected)
    largest = max(np.abs(aim).max() for aim in jax.tree.leaves(expected))
    for got, aim in zip(
        *map(jax.tree.leaves, (gradients["small"], expected)), strict=True
    ):
        np.testing.assert_allclose(got, aim, rtol=2e-3, atol=2e-5 * largest)
