"""Whether OSTrack and LoReTrack's losses are the same here and in PyTorch.

For `bench_ostrack.py`, which sets the precision of both sides. Weights, images and
boxes are random.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import torch
from bench_sizes import TERMS
from torch_ostrack import HIGH, LOW, ROLES, OSTrack, Seen, TorchStep

from dst_jax.arch import TokenBackboneSpec, TrackerSpec
from dst_jax.distill import Disc, DistillConfig, Setting, Term, make_objective
from dst_jax.models import Variables, build, forward, init_variables
from dst_jax.ops.examples import Examples, examples_for
from dst_jax.ops.kernels import compiled
from dst_jax.train import OptimConfig


def drawn(spec: TrackerSpec, seed: int) -> Variables:
    """Variables with statistics, scales and constants that no fresh network has."""
    rng = np.random.default_rng(seed)

    def moved(leaf: Any) -> Any:
        noise = rng.normal(0.0, 0.02, leaf.shape)
        return np.float32(leaf * rng.uniform(0.5, 1.5, leaf.shape) + noise)

    return jax.tree.map(moved, init_variables(jax.random.key(seed), spec))


def without_drops(spec: TrackerSpec) -> TrackerSpec:
    """The network that drops no block in training."""
    assert isinstance(spec.backbone, TokenBackboneSpec)
    backbone = dataclasses.replace(spec.backbone, drop_path=0.0)
    return dataclasses.replace(spec, backbone=backbone)


def noise_examples(spec: TrackerSpec, count: int) -> Examples:
    """Crops of coarse noise for the teacher, with a target somewhere."""
    rng, images = np.random.default_rng(0), list[np.ndarray]()
    for px in (spec.input.template_px, spec.input.search_px):
        coarse = rng.uniform(0, 255, (count, px // 8 + 1, px // 8 + 1, 3))
        fine = coarse.repeat(8, axis=1).repeat(8, axis=2)[:, :px, :px]
        noisy = np.clip(fine + rng.normal(0, 9, fine.shape), 0, 255)
        images.append(noisy.astype(np.float32))
    px = spec.input.search_px
    boxes = np.concatenate(
        [rng.uniform(0.3, 0.7, (count, 2)), rng.uniform(0.1, 0.3, (count, 2))], axis=1
    )
    template, search = images
    return Examples(
        template,
        search,
        mask=np.ones(count, np.float32),
        is_negative=np.zeros(count, np.float32),
        search_box=(boxes * px).astype(np.float32),
        number=np.arange(count, dtype=np.int32),
        input=spec.input,
    )


def our_answers(
    spec: TrackerSpec, variables: Variables, examples: Examples
) -> dict[str, np.ndarray]:
    """What a network says of its own view of the crops, [b, f, f, c]."""

    @compiled
    def run(variables: Variables, examples: Examples) -> Any:
        own = examples_for(examples, spec.input)
        return forward(build(spec), variables, own.template, own.search)

    (response, offsets), taps = run(variables, examples)
    assert isinstance(spec.backbone, TokenBackboneSpec)
    last = spec.backbone.depth - 1
    names = {"q": f"q{last}", "k": f"k{last}", "v": f"v{last}", "norm": "norm"}
    maps = {name: taps[f"search/{own}"] for name, own in names.items()}
    found = {"score": response[..., None], "offsets": offsets, **maps}
    return {name: np.asarray(x) for name, x in found.items()}


def our_losses(
    networks: Mapping[str, tuple[TrackerSpec, Variables]],
    terms: Mapping[str, Term],
    examples: Examples,
) -> tuple[dict[str, float], Any]:
    """Terms of the student with their weights, and its gradient."""
    (teacher, taught), (student, own) = networks.values()
    setting = Setting(DistillConfig(terms))
    objective = make_objective(teacher, {"student": student}, setting)

    @compiled
    def run(params: Any, stats: Any, taught: Any, examples: Examples) -> Any:
        moment = {"epoch": np.zeros((), np.float32), "key": jax.random.key(0)}
        return jax.grad(objective, has_aux=True)(
            {"student": params}, {"student": stats}, taught, examples, **moment
        )

    slopes, (_, metrics) = run(own["params"], own["batch_stats"], taught, examples)
    values = {n: float(metrics.terms[f"student/{n}"]) for n in terms}
    return values, jax.device_get(slopes["student"])


def differences(
    specs: Mapping[str, TrackerSpec], count: int, optim: OptimConfig
) -> dict[str, float]:
    """Differences of both sides, each relative to PyTorch's largest value.

    Args:
      specs: The networks "teacher" and "student", which drop no blocks here.
      count: Number of pairs.
      optim: Settings of PyTorch's optimizer, which takes no step.

    Returns:
      By name: each network's answers and maps in inference mode, the terms of the
      objective, and the student's gradient, whose difference has a norm.
    """
    networks = {
        name: (without_drops(spec), drawn(spec, seed))
        for seed, (name, spec) in enumerate(specs.items())
    }
    examples = noise_examples(specs["teacher"], count)
    device = "cuda" if jax.default_backend() == "gpu" else "cpu"
    teacher, student = networks.values()
    answers = {n: our_answers(*network, examples) for n, network in networks.items()}
    # Half of the cells stand out.
    squares = np.square(answers["teacher"]["norm"]).mean(-1)
    disc = Disc(threshold=float(np.median(squares)))
    terms: Mapping[str, Term] = {**TERMS, "disc": disc}
    theirs = TorchStep(teacher, student, terms, optim, device=device)
    found: dict[str, float] = {}
    for name, module in (("teacher", theirs.teacher), ("student", theirs.student)):
        for what, aim in their_answers(module.eval(), specs[name], examples).items():
            gap = np.abs(answers[name][what] - aim).max() / np.abs(aim).max()
            found[f"{name}/{what}"] = float(gap)
    theirs.student.train()
    boxes = torch.from_numpy(examples.search_box).to(device)
    template, search = planes(examples, device)
    aims = theirs.gradients(template, search, boxes)
    values, slopes = our_losses(networks, terms, examples)
    for name, value in values.items():
        aim = aims[name].item()
        found[name] = abs(value - aim) / abs(aim)
    grads = {n: p.grad for n, p in theirs.student.named_parameters()}
    aim = theirs.student.like_ours({n: g for n, g in grads.items() if g is not None})
    gap = jax.tree.map(np.subtract, slopes, aim)
    found["student/gradient"] = norm(gap) / norm(aim)
    return found


def their_answers(
    module: OSTrack, spec: TrackerSpec, examples: Examples
) -> dict[str, np.ndarray]:
    """What PyTorch's network says of its own view of the crops, [b, f, f, c]."""
    view = compiled(functools.partial(examples_for, input=spec.input))
    with torch.no_grad():
        own = planes(view(examples), module.mean.device)
        seen: Seen = module(*own)
    sizes = seen.size.sigmoid().clamp(LOW, HIGH)
    found = {"score": seen.score, "offsets": torch.cat([seen.offset, sizes], 1)}
    found |= seen.maps
    return {name: x.permute(0, 2, 3, 1).cpu().numpy() for name, x in found.items()}


def planes(examples: Examples, device: Any) -> list[torch.Tensor]:
    """Template and search images as PyTorch reads them."""
    images = (np.array(getattr(examples, role)) for role in ROLES)
    return [torch.from_numpy(x).permute(0, 3, 1, 2).to(device) for x in images]


def norm(tree: Any) -> float:
    """The norm of all arrays of a tree together."""
    squares = (np.sum(np.square(x, dtype=np.float64)) for x in jax.tree.leaves(tree))
    return float(np.sqrt(sum(squares)))
