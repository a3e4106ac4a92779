"""A run whose programs were compiled beforehand compiles nothing itself."""

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from dst_jax.arch import spec_to_json
from dst_jax.command.main import main
from dst_jax.data.synthetic.dataset import SyntheticConfig, write_synthetic
from dst_jax.files import write_json
from dst_jax.ops import kernels
from dst_jax.workflows import warmup
from dst_jax.workflows.compilations import counted
from tests import networks

pytestmark = pytest.mark.optax

# Two phases of two steps each.
SHORT = (
    "--data.batch 4 --data.validation_share 0.34 --data.threads 0 "
    "--optim.pairs_per_epoch 8 --optim.epochs 2 --loop.log_every 1 "
    "--optim.parts conv1 0 0.5"
).split()


@pytest.fixture
def words(tmp_path, monkeypatch):
    """Words that follow the name of a verb, in a folder with what they name."""
    monkeypatch.chdir(tmp_path)
    config = SyntheticConfig(videos=6, length=6, height=90, width=120)
    write_synthetic(tmp_path / "train", config, seed=0)
    write_json(tmp_path / "tiny.json", spec_to_json(networks.TEACHER))
    named = "demo_teacher --student teacher=tiny.json --data.sources got10k:train"
    return [*named.split(), *SHORT]


@pytest.fixture
def own_cache(tmp_path):
    """A folder for programs in which there are none yet."""
    before = jax.config.jax_compilation_cache_dir
    folder = tmp_path / "programs"
    _keep_in(str(folder))
    yield folder
    _keep_in(before)


def _keep_in(folder):
    jax.config.update("jax_compilation_cache_dir", folder)
    compilation_cache.reset_cache()
    jax.clear_caches()


@pytest.mark.slow
def test_after_a_warmup_a_run_reads_each_of_its_programs(own_cache, words, capsys):
    assert main(["warmup", *words]) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert f"kept in {own_cache}" in said and " programs compiled in " in said
    kept = {path.name for path in own_cache.iterdir() if path.suffix != ".lock"}
    jax.clear_caches()
    with counted() as found:
        assert main(["train", *words, "--workdir", "run"]) == 0
    assert found.programs > 10
    assert found.read == found.programs
    assert {n for n in kept if n.endswith("-cache")} == {
        path.name for path in own_cache.iterdir() if path.name.endswith("-cache")
    }
    assert "\n0 programs compiled in" in capsys.readouterr().out


def test_kernels_whose_programs_cannot_be_kept_are_refused_before_any_work(
    own_cache, monkeypatch, capsys
):
    chosen = kernels.Kernels("onednn")
    monkeypatch.setattr(warmup, "chosen_kernels", lambda: chosen)
    assert main(["warmup", "demo_teacher"]) == 2
    assert capsys.readouterr().err == (
        "dst-jax: warmup: jaxlib cannot keep programs with oneDNN's kernels; set "
        "DST_JAX_KERNELS=eigen for this and for the run, which is slower then.\n"
    )
    assert not own_cache.exists()


def test_a_process_that_keeps_no_programs_is_told_so(own_cache, capsys):
    _keep_in("")
    assert main(["warmup", "demo_teacher"]) == 2
    assert "warmup: no folder keeps compiled programs" in capsys.readouterr().err


def test_programs_are_counted_and_those_that_are_read_told_apart(own_cache):
    def program(x):
        return x * 3.0 + 1.0

    for read in (0, 1):
        jax.clear_caches()
        with counted() as found:
            jax.jit(program)(np.float32(2.0)).block_until_ready()
        assert (found.programs, found.read) == (1, read)
        assert found.program_s >= found.read_s >= 0.0 < found.traced_s
    with counted() as found:
        jax.jit(program)(np.float32(2.0))
    assert (found.programs, found.read) == (0, 0)
