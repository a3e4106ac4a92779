"""What is settled before a verb computes, each in a process of its own."""

import fcntl
import os
import pathlib
import subprocess
import sys

import cv2
import jax
import pytest

from dst_jax.bundle import Bundle, save_bundle
from dst_jax.command.main import main
from dst_jax.command.startup import cache_folder
from dst_jax.track import SiamFCTracking
from tests.track import scenes

ROOT = pathlib.Path(__file__).parents[2]
# Settings of the tests' own process that must not reach the ones under test.
OURS = ("JAX_COMPILATION_CACHE_DIR", "XDG_CACHE_HOME")
# Small programs are kept too, as the tests' network needs.
KEEP_ALL = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}


def python(*words, cwd, **variables):
    """What a new process says whose user is at home in `cwd`."""
    environment = {k: v for k, v in os.environ.items() if k not in OURS}
    environment |= {"PYTHONPATH": str(ROOT), "HOME": str(cwd)} | variables
    return subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def call(*words, cwd, **variables):
    return python("-m", "dst_jax.command.main", *words, cwd=cwd, **variables)


COMPUTING = [
    "demo --workdir w",
    "train demo_teacher --workdir w",
    "distill demo_students --workdir w --teacher t",
    "warmup demo_teacher",
    "search siamfc_search --workdir w --teacher t",
    "ablate ablation_mini --workdir w",
    "convert --source siamfc-pytorch a.pth o.bundle",
    "track --tracker b --video v.mp4 --box 1,1,4,4 --out o.txt",
    "evaluate --dataset otb:d --tracker b",
    "info siamfc-alexnet",
]


@pytest.mark.parametrize("line", COMPUTING)
def test_no_device_is_one_line_before_any_work(tmp_path, monkeypatch, capsys, line):
    def devices():
        raise RuntimeError("Unable to initialize backend 'x' (set JAX_PLATFORMS='' ...")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_PLATFORMS", "x")
    monkeypatch.setattr(jax, "devices", devices)
    assert main(line.split()) == 2
    assert capsys.readouterr() == (
        "",
        "dst-jax: JAX_PLATFORMS=x: JAX finds no such device (Unable to initialize "
        "backend 'x'); install JAX for it, or set JAX_PLATFORMS=cpu.\n",
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["nonsense", "cuda"])
def test_a_platform_that_jax_does_not_have_is_named(tmp_path, name):
    done = call("info", "siamfc-alexnet", cwd=tmp_path, JAX_PLATFORMS=name)
    if name == "cuda" and done.returncode == 0:
        pytest.skip("it is there")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith(f"dst-jax: JAX_PLATFORMS={name}: JAX finds no such")
    assert done.stderr.count("\n") == 1


def test_a_setting_that_jax_refuses_is_one_line(tmp_path):
    done = call("info", "siamfc-alexnet", cwd=tmp_path, JAX_ENABLE_X64="maybe")
    assert done.returncode == 2
    assert done.stderr.startswith("dst-jax: JAX refuses a setting (invalid truth value")
    assert done.stderr.count("\n") == 1


@pytest.fixture
def tracked(tmp_path):
    """Words that track three frames of a small network's video into o.txt."""
    save_bundle(
        Bundle(scenes.SPEC, scenes.weights(), SiamFCTracking(), {}), tmp_path / "b"
    )
    frames = tmp_path / "frames"
    frames.mkdir()
    for number, frame in enumerate(scenes.video(3, velocity=(2.0, 0.0))[0]):
        cv2.imwrite(str(frames / f"{number}.png"), frame[..., ::-1])
    box = ("--box", "60.25,50,20,20")
    return "track", "--tracker", "b", "--video", "frames", *box, "--out", "o.txt"


def test_programs_are_kept_for_the_next_call_and_64_bits_change_nothing(
    tmp_path, tracked
):
    first = call(*tracked, cwd=tmp_path, **KEEP_ALL)
    assert first.returncode == 0, first.stderr
    (folder,) = (tmp_path / ".cache" / "dst-jax").iterdir()
    assert folder.name.startswith("programs-") and folder.stat().st_mode & 0o077 == 0
    programs = {path for path in folder.iterdir() if path.name.endswith("-cache")}
    assert programs
    boxes = (tmp_path / "o.txt").read_bytes()
    second = call(*tracked, cwd=tmp_path, JAX_ENABLE_X64="1", **KEEP_ALL)
    assert second.returncode == 0, second.stderr
    assert {p for p in folder.iterdir() if p.name.endswith("-cache")} == programs
    assert (tmp_path / "o.txt").read_bytes() == boxes


STARTED = """
import jax
from dst_jax.command.startup import start_jax
start_jax()
print(jax.config.jax_compilation_cache_dir, jax.config.jax_enable_x64)
"""


@pytest.mark.parametrize(
    ("variables", "kept_in"),
    [
        ({"JAX_ENABLE_COMPILATION_CACHE": "0"}, "None"),
        ({"JAX_COMPILATION_CACHE_DIR": ""}, ""),
        ({"JAX_COMPILATION_CACHE_DIR": "/the/users/own"}, "/the/users/own"),
        ({"XDG_CACHE_HOME": "/proc/self"}, "None"),
        ({"HOME": "/proc/self/none"}, "None"),
    ],
)
def test_the_users_choice_of_a_cache_stands_and_one_that_is_impossible_is_none(
    tmp_path, variables, kept_in
):
    done = python("-c", STARTED, cwd=tmp_path, JAX_ENABLE_X64="1", **variables)
    assert (done.stdout, done.stderr) == (f"{kept_in} False\n", "")
    assert list(tmp_path.iterdir()) == []


KEEPS = """
import jax
from dst_jax.command.startup import start_jax
start_jax()
from dst_jax.ops.kernels import chosen_kernels
print(chosen_kernels().kind, jax.config.jax_persistent_cache_min_compile_time_secs)
"""


@pytest.mark.parametrize("wanted", ["onednn", "ynnpack"])
@pytest.mark.parametrize(
    "told", [{}, {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "3"}]
)
def test_what_cannot_be_kept_is_not_tried_unless_told(tmp_path, wanted, told):
    """jaxlib never frees a program that it tried to keep and could not."""
    done = python("-c", KEEPS, cwd=tmp_path, DST_JAX_KERNELS=wanted, **told)
    kind, shortest = done.stdout.split()
    expected = 3.0 if told else float("inf") if kind == "onednn" else 0.2
    assert float(shortest) == expected, done.stderr


def test_programs_that_were_cut_short_make_way_unless_one_is_being_written(tmp_path):
    (tmp_path / ".cache").mkdir()
    python("-c", STARTED, cwd=tmp_path)
    (folder,) = tmp_path.glob(".cache/dst-jax/*")
    for name in ("whole-cache", "whole-atime", "cut-cache", "gone-atime", "other"):
        (folder / name).write_text("x")
    lock = (folder / ".lockfile").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    python("-c", STARTED, cwd=tmp_path)
    assert (folder / "cut-cache").exists()
    lock.close()
    python("-c", STARTED, cwd=tmp_path)
    left = {path.name for path in folder.iterdir()}
    assert left == {".lockfile", "other", "whole-atime", "whole-cache"}


def test_the_folder_of_programs_follows_the_users_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    folder = cache_folder()
    assert folder is not None and folder.parent == tmp_path / "xdg" / "dst-jax"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setattr(sys, "platform", "darwin")
    (tmp_path / "Library").mkdir()
    folder = cache_folder()
    assert folder is not None
    assert folder.parent == tmp_path / "Library" / "Caches" / "dst-jax"


def test_a_folder_that_others_may_write_is_not_believed(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = cache_folder()
    assert folder is not None
    folder.chmod(0o777)
    assert cache_folder() is None


def test_the_library_alone_keeps_no_programs(tmp_path):
    code = (
        "import dst_jax, jax\n"
        "dst_jax.Session\n"
        "print(jax.config.jax_compilation_cache_dir)"
    )
    done = python("-c", code, cwd=tmp_path)
    assert done.stdout == "None\n" and list(tmp_path.iterdir()) == []
