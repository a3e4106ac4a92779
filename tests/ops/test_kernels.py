"""Programs are compiled for kernels that are there, and are formulated for these."""

import logging
import platform

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
import pytest

from dst_jax.ops import kernels
from dst_jax.ops.conv import conv2d

VERSION = tuple(int(part) for part in jaxlib.__version__.split(".")[:2])
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
    monkeypatch.setattr(kernels, "OPTIONS", {"xla_cpu_no_such_option": True})
    kernels.fastest_kernels.cache_clear()
    yield
    kernels.fastest_kernels.cache_clear()


@on_cpu
@pytest.mark.skipif(platform.machine() != "x86_64", reason="known for x86-64 alone")
def test_each_jaxlib_has_the_kernels_that_it_is_known_for():
    expected = "onednn" if VERSION >= (0, 12) else "eigen"
    assert kernels.fastest_kernels().kind == expected


@on_cpu
def test_a_compiled_function_calls_the_kernels_that_it_is_formulated_for():
    program = kernels.compiled(convolve).lower(*operands()).compile().as_text()
    assert kernels.kernel_of(program) == kernels.fastest_kernels().kind
    plain = jax.jit(lambda x, k: conv2d(x, k)).lower(*operands()).compile().as_text()
    assert kernels.kernel_of(plain) == "ynnpack"


@on_cpu
def test_options_that_are_unknown_are_left_out_with_one_line(unknown_option, caplog):
    with caplog.at_level(logging.WARNING):
        assert kernels.fastest_kernels() == kernels.Kernels("ynnpack")
    (record,) = caplog.records
    assert "No such compile option" in record.getMessage()
    x, kernel = operands()
    expected = jax.jit(lambda x, k: conv2d(x, k, formulation="lax"))(x, kernel)
    found = kernels.compiled(convolve)(x, kernel)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_what_is_traced_knows_its_kernels_and_what_is_not_those_of_stock():
    seen = []

    def look(x):
        seen.append(kernels.kernels())
        return x

    kernels.compiled(look)(jnp.zeros(1))
    jax.jit(lambda x: look(x))(jnp.zeros(1))
    assert seen[0] == kernels.fastest_kernels()
    assert seen[1].options == ()


def test_an_error_in_a_traced_function_leaves_stock_kernels_behind():
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


@pytest.mark.parametrize("kind", sorted(kernels.FASTEST))
def test_every_shape_has_a_formulation_for_each_pass(kind):
    table = kernels.FASTEST[kind]
    assert set(table) == {"image", "grouped", "dense"}
    assert {len(passes) for passes in table.values()} == {len(kernels.PASSES)}
