"""The harness: four CPU devices, strict ranks and dtypes, deterministic keys."""

import itertools
import os
import pathlib

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# The suite compiles far more than it computes: this halves the compiler's time.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# One piece of machine code per program: splitting it costs more than it gains. (LLVM's
# older fused loops would halve the rest, but compile a step in float64 wrongly.)
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_parallel_codegen_split_count=1")
# Programs with oneDNN's kernels cannot be kept for the next call, and only YNNPACK's
# formulations compute each image by itself, so that one device equals many closely.
os.environ.setdefault("DST_JAX_KERNELS", "ynnpack")

import jax
import pytest

from dst_jax.workflows.held_programs import let_go_if_many

jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update(
    "jax_compilation_cache_dir",
    os.environ.get("JAX_COMPILATION_CACHE_DIR", "")
    or str(pathlib.Path(__file__).parents[1] / ".jax_cache"),
)
# Small programs are most of the compiling; they are kept too.
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)

_TESTS = itertools.count(1)


@pytest.fixture(autouse=True)
def strict_dtypes(request):
    """No silent mixing of int and float; `@pytest.mark.optax` opts out."""
    mode = "standard" if request.node.get_closest_marker("optax") else "strict"
    with jax.numpy_dtype_promotion(mode):
        yield


@pytest.fixture(autouse=True)
def forget_programs(request):
    """Drops what a slow test compiled, and what others did before it is too much."""
    yield
    if request.node.get_closest_marker("slow"):
        jax.clear_caches()
    elif next(_TESTS) % 10 == 0:  # to look takes some milliseconds
        let_go_if_many()


@pytest.fixture
def keys():
    """An endless, deterministic stream of keys."""

    def stream(key):
        while True:
            key, sub = jax.random.split(key)
            yield sub

    return stream(jax.random.key(0))


@pytest.fixture(scope="session")
def real_data() -> pathlib.Path:
    """The folder of real annotated video, or a skip that says how to provide it."""
    default = pathlib.Path(__file__).parents[2] / "shared" / "data"
    root = pathlib.Path(os.environ.get("DST_JAX_DATA", default))
    if not (root / "otb").is_dir():
        pytest.skip(f"no real data at {root}; set DST_JAX_DATA to a folder with otb/")
    return root
