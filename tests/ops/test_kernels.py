"""Programs are compiled for kernels that are there, and are formulated for these."""

import logging
import platform

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
import pytest

from dst_jax.arch import named as zoo
from dst_jax.errors import InputError
from dst_jax.ops import kernels
from dst_jax.ops.conv import conv2d
from dst_jax.track import OSTrackTracking
from dst_jax.track.run import compiled as tracking

VERSION = tuple(int(part) for part in jaxlib.__version__.split(".")[:2])
# Programs of oneDNN cannot be kept for the next call, and JAX says so of each.
pytestmark = pytest.mark.filterwarnings("ignore:Error writing persistent")
on_cpu = pytest.mark.skipif(
    jax.default_backend() != "cpu", reason="accelerators have kernels of their own"
)


def convolve(x, kernel):
    return conv2d(x, kernel)


def operands():
    keys = jax.random.split(jax.random.key(0))
    return (
        jax.random.normal(keys[0], (2, 16, 16, 16)),
        jax.random.normal(keys[1], (3, 3, 16, 32)),
    )


@pytest.fixture
def unknown_option(monkeypatch):
    options = {"onednn": {"xla_cpu_no_such_option": True}}
    monkeypatch.setattr(kernels, "OPTIONS", options)
    kernels._found_kernels.cache_clear()
    yield
    kernels._found_kernels.cache_clear()


@pytest.fixture(params=["", "onednn", "eigen", "ynnpack"])
def named(request, monkeypatch):
    monkeypatch.setenv(kernels.VARIABLE, request.param)
    return request.param


@pytest.fixture
def unnamed(monkeypatch):
    monkeypatch.delenv(kernels.VARIABLE, raising=False)


def compiled_text(program):
    return program.lower(*operands()).compile().as_text()


@on_cpu
@pytest.mark.skipif(platform.machine() != "x86_64", reason="known for x86-64 alone")
def test_each_jaxlib_has_the_kernels_that_it_is_known_for(unnamed):
    expected = "onednn" if VERSION >= (0, 12) else "eigen"
    assert kernels.chosen_kernels().kind == expected


@on_cpu
def test_a_transformer_has_kernels_that_copy_no_matrix(unnamed):
    ostrack, siamfc = zoo("ostrack-128"), zoo("siamfc-alexnet")
    assert kernels.kernels_for(siamfc) == kernels.chosen_kernels()
    assert kernels.kernels_for(siamfc, ostrack).kind == "eigen"

    def multiplied(chosen):
        # 80 tokens by the largest matrix of a block.
        shapes = ((80, 768), (768, 3072))
        arrays = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
        program = kernels.compiled(lambda x, w: x @ w, kernels=chosen)
        return program.lower(*arrays).compile().as_text()

    assert "onednn" not in multiplied(kernels.kernels_for(ostrack))
    if VERSION >= (0, 12) and platform.machine() == "x86_64":
        assert "onednn" in multiplied(None)


@on_cpu
def test_kernels_that_are_named_are_a_transformers_too(named):
    assert kernels.kernels_for(zoo("ostrack-128")).kind == (
        "eigen" if named == "" else kernels.chosen_kernels().kind
    )


@on_cpu
def test_tracking_asks_for_the_kernels_of_its_network(monkeypatch):
    seen = []

    def noted(function, *, kernels):
        seen.append(kernels)
        return function

    monkeypatch.setattr(kernels, "compiled", noted)
    tracking(zoo("ostrack-ti-96"), OSTrackTracking(border_px=11.0))
    assert seen == [kernels.kernels_for(zoo("ostrack-ti-96"))] * 3


@on_cpu
@pytest.mark.parametrize("kind", ["eigen", "ynnpack"])
def test_other_kernels_can_be_named(kind, monkeypatch):
    monkeypatch.setenv(kernels.VARIABLE, kind)
    assert kernels.chosen_kernels().kind == kind


def test_kernels_that_are_not_there_are_refused(monkeypatch):
    monkeypatch.setenv(kernels.VARIABLE, "fast")
    with pytest.raises(InputError, match="DST_JAX_KERNELS=fast: there is onednn, "):
        kernels.chosen_kernels()


@on_cpu
def test_a_compiled_function_calls_the_kernels_that_it_is_formulated_for(named):
    program = compiled_text(kernels.compiled(convolve))
    assert kernels.kernel_of(program) == kernels.chosen_kernels().kind
    plain = compiled_text(jax.jit(lambda x, k: conv2d(x, k)))
    assert kernels.kernel_of(plain) == "ynnpack"


@on_cpu
def test_all_kernels_compute_the_same(named):
    def loss(x, kernel):
        y = conv2d(x, kernel, stride=2, groups=2)
        return jnp.sum(jnp.sin(y)), y

    x, kernel = operands()
    kernel = kernel[:, :, :8]
    run = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
    found = kernels.compiled(run)(x, kernel)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3),
        found,
        run(x, kernel),
    )


@on_cpu
def test_options_that_are_unknown_are_left_out_with_one_line(
    unnamed, unknown_option, caplog
):
    with caplog.at_level(logging.WARNING):
        assert kernels.chosen_kernels() == kernels.Kernels("ynnpack")
    (record,) = caplog.records
    assert "No such compile option" in record.getMessage()
    x, kernel = operands()
    expected = jax.jit(lambda x, k: conv2d(x, k, formulation="lax"))(x, kernel)
    found = kernels.compiled(convolve)(x, kernel)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@on_cpu
def test_what_is_traced_knows_its_kernels_and_what_is_not_those_of_stock(monkeypatch):
    monkeypatch.setenv(kernels.VARIABLE, "eigen")
    seen = []

    def look(x):
        seen.append(kernels.kernels())
        return x

    kernels.compiled(look)(jnp.zeros(1))
    jax.jit(lambda x: look(x))(jnp.zeros(1))
    assert seen[0] == kernels.chosen_kernels()
    assert seen[1].options == ()


@on_cpu
def test_an_error_in_a_traced_function_leaves_stock_kernels_behind(monkeypatch):
    monkeypatch.setenv(kernels.VARIABLE, "eigen")

    def fail(x):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        kernels.compiled(fail)(jnp.zeros(1))
    assert kernels.kernels().options == ()


def shapes(**changed):
    return {"batch": 8, "inputs": 256, "groups": 1, "cells": 484} | changed


YNNPACK = [
    (shapes(batch=4096, inputs=64, cells=10**4), "im2col"),
    (shapes(cells=16), "im2col"),
    (shapes(), "per_example"),
    (shapes(inputs=3, cells=16), "per_example"),
    (shapes(batch=1, cells=16), "per_example"),
]


@on_cpu
@pytest.mark.parametrize(("shape", "expected"), YNNPACK)
def test_stock_kernels_take_small_maps_together_and_do_not_unroll_large_batches(
    shape, expected
):
    assert set(kernels.fastest_passes(**shape)) == {expected}


@on_cpu
@pytest.mark.parametrize("kind", ["onednn", "eigen"])
def test_every_shape_has_a_formulation_for_each_pass(kind, monkeypatch):
    monkeypatch.setattr(kernels, "kernels", lambda: kernels.Kernels(kind))
    table = kernels.FASTEST[kind]
    cases = {
        "image": shapes(inputs=3),
        "grouped": shapes(groups=2),
        "dense": shapes(),
    }
    assert set(table) <= set(cases)
    for name, shape in cases.items():
        passes = kernels.fastest_passes(**shape)
        assert len(passes) == len(kernels.PASSES)
        assert passes == table.get(name, ("lax",) * 3)
