"""`import dst_jax` is light, and leads to a tracker in the lines of the README."""

import pathlib
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest

import dst_jax
from dst_jax.bundle import Bundle, save_bundle
from dst_jax.errors import InputError
from dst_jax.track import SiamFCTracking
from tests.track import scenes

README = pathlib.Path(__file__).parents[1] / "README.md"


@pytest.fixture
def bundle(tmp_path):
    value = Bundle(scenes.SPEC, scenes.weights(), SiamFCTracking(), {})
    return save_bundle(value, tmp_path / "teacher.bundle")


def write_frames(folder, count):
    """A textured target of 40 x 60 px that starts at (120, 80) and moves by (3, 2)."""
    rng = np.random.default_rng(0)
    texture = np.kron(rng.integers(0, 256, (6, 4, 3)), np.ones((10, 10, 1)))
    folder.mkdir()
    for number in range(count):
        frame = np.full((240, 320, 3), 120, np.uint8)
        x, y = 120 + 3 * number, 80 + 2 * number
        frame[y : y + 60, x : x + 40] = texture
        cv2.imwrite(str(folder / f"{number:04d}.png"), frame[..., ::-1])


def test_the_lines_of_the_readme_follow_the_box(bundle, monkeypatch, capsys):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    (lines,) = (block for block in blocks if "dst_jax.load" in block)
    write_frames(bundle.parent / "frames", 6)
    monkeypatch.chdir(bundle.parent)
    exec(lines, {})
    printed = capsys.readouterr().out.strip().splitlines()
    boxes = [[float(v) for v in re.findall(r"[\d.]+", line)] for line in printed]
    expected = [(120 + 3 * t, 80 + 2 * t, 40, 60) for t in range(1, 6)]
    np.testing.assert_allclose(boxes, expected, atol=4.0)


def test_load_takes_a_path_and_refuses_what_is_no_bundle(bundle, tmp_path):
    session = dst_jax.load(bundle)
    assert isinstance(session, dst_jax.Session)
    assert session.tracker.spec == scenes.SPEC
    assert dst_jax.load(str(bundle)).tracker.spec == scenes.SPEC
    with pytest.raises(InputError, match="nowhere: no such bundle"):
        dst_jax.load(tmp_path / "nowhere")


def test_names_are_offered_and_others_are_not():
    assert {"load", "Session", "__version__"} <= set(dir(dst_jax))
    with pytest.raises(AttributeError, match="'dst_jax' has no attribute 'lode'"):
        _ = dst_jax.lode


# Without the suite's own check of types: what a user sees.
PROBE = """
import sys, dst_jax
dir(dst_jax)
print(sorted({"jax", "numpy", "flax"} & set(sys.modules)))
print(dst_jax.Session.__name__, dst_jax.track.__name__)
for attempt in (dst_jax.Session, dst_jax.track.stream.four_numbers):
    try:
        attempt("60,50,20,20")
    except dst_jax.errors.InputError as error:
        print(error)
"""


def test_session_brings_jax_when_it_is_asked_for_and_refuses_text_in_one_line():
    run = [sys.executable, "-c", PROBE]
    out = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert out.splitlines() == [
        "[]",
        "Session dst_jax.track",
        "Session('60,50,20,20'): give a tracker or a bundle; dst_jax.load reads a "
        "folder.",
        "box '60,50,20,20' is no box; give four numbers.",
    ]
