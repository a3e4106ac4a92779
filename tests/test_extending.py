"""Every example of docs/extending.md works as the page has it."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import jax
import pytest

from tests.pages import is_quote, sections
from tests.test_api import PACKAGE

ROOT = pathlib.Path(__file__).parents[1]
PAGE = ROOT / "docs" / "extending.md"
SECTIONS = sections(PAGE)
PATCH = ROOT / "tests" / "families" / "temperature.patch"


@pytest.fixture
def clone(tmp_path):
    """A folder that holds a copy of the package and what tests need of the rest."""
    hidden = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, tmp_path / "dst_jax", ignore=hidden)
    shutil.copytree(PATCH.parent, tmp_path / "tests" / "families", ignore=hidden)
    shutil.rmtree(tmp_path / "tests" / "families" / "__pycache__", ignore_errors=True)
    for package in (".", "distill"):
        names = ["__init__.py", "networks.py", "pages.py"] if package == "." else None
        source, target = ROOT / "tests" / package, tmp_path / "tests" / package
        target.mkdir(exist_ok=True)
        for file in names or [path.name for path in source.glob("*.py")]:
            shutil.copy(source / file, target / file)
    return tmp_path


def run(folder, section):
    """What the section's examples printed, each run in a process of its own."""
    own = {
        "PYTHONPATH": str(folder),
        "JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    words = [sys.executable, "-m", "tests.pages", str(PAGE), section]
    out = subprocess.run(
        words, cwd=folder, env=os.environ | own, capture_output=True, text=True
    )
    assert out.returncode == 0, out.stdout + out.stderr
    return out.stdout


def test_the_page_opens_with_a_list_of_all_its_sections():
    top = PAGE.read_text().partition("\n## ")[0]
    listed = [line.rpartition("[")[2] for line in top.splitlines() if "](#" in line]
    assert [line.partition("]")[0] for line in listed] == list(SECTIONS)
    assert all(SECTIONS.values())


@pytest.mark.parametrize("section", [s for s in SECTIONS if s != "A term of your own"])
def test_the_examples_of_a_section_run(section, clone):
    run(clone, section)


def test_a_term_of_ones_own_is_explained_trained_with_and_logged(clone):
    shown = run(clone, "A term of your own")
    (line,) = [line for line in shown.splitlines() if "--distill.mine.margin" in line]
    assert "0.5" in line and "Differences up to this cost nothing." in line
    workdir = clone / "runs" / "mine"
    lines = [
        json.loads(x) for x in (workdir / "metrics.jsonl").read_text().splitlines()
    ]
    steps = [line for line in lines if "loss" in line]
    # 12 pairs in batches of 4.
    assert [line["step"] for line in steps] == [1, 2, 3]
    for step in steps:
        parts = [step[f"loss/dull/{term}"] for term in ("ah", "ts", "mine")]
        assert min(parts) > 0.0
        assert sum(parts) == pytest.approx(step["loss"], rel=1e-5)
    stored = json.loads((workdir / "config.json").read_text())
    term = stored["experiment"]["distill"]["terms"]["mine"]
    assert term["class"].endswith(".Margin")
    assert term["weight"] == 2.0 and term["margin"] == 0.1
    own = (clone / "mine.py").read_text()
    (clone / "mine.py").write_text(own.replace("beyond = ", "beyond = 2.0 * "))
    (block,) = [b for b in SECTIONS["A term of your own"] if "distill mine" in b.text]
    last = block.text.replace("\\\n", " ").splitlines()[-1].removeprefix("dst-jax")
    words = [sys.executable, "-m", "dst_jax.command.main", *last.split()]
    out = subprocess.run(words, cwd=clone, capture_output=True, text=True)
    assert out.returncode == 2 and "source_sha256" in out.stderr


def test_the_family_is_quoted_from_the_toys_patch_word_by_word():
    quotes = [block.text for block in SECTIONS["A family"] if is_quote(block)]
    assert len(quotes) >= 5
    assert [quote for quote in quotes if quote not in PATCH.read_text()] == []
