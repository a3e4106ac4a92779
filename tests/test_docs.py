"""What the documentation names is there; what it tells a newcomer to type works."""

import importlib
import pathlib
import re
import shlex

import pytest

from dst_jax.command.main import main
from dst_jax.command.settings import packaged
from tests.command_stage import write_own_folder
from tests.data import small_packs as packs

ROOT = pathlib.Path(__file__).parents[1]
# In place of the real configuration: one of a network that a test can train.
TINY = """
import dataclasses

from dst_jax.data.pipeline import DataConfig
from dst_jax.train import OptimConfig
from tests import objectives
from tests.data.small_packs import EXPERIMENT



def experiment():
    return dataclasses.replace(
        EXPERIMENT,
        data=DataConfig(sources=("unread:x",), batch=4, validation_share=0.34),
        **objectives.row(objectives.TINY, "NOKD")._asdict(),
        optim=OptimConfig(epochs=1.0, pairs_per_epoch=8, learning_rate=1e-2),
    )
"""

PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_and_to_pictures_lead_somewhere(page):
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    near = [link for link in links if not link.startswith(("http", "mailto:"))]
    for link in near:
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        headings = re.findall(r"^#+ (.*)$", target.read_text(), re.M) if anchor else []
        slugs = {re.sub(r"[^\w\- ]", "", h).lower().replace(" ", "-") for h in headings}
        assert not anchor or anchor in slugs, link


def found(name):
    """Whether `dst_jax.NAME` is a module or stands in one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(["dst_jax", *parts[:length]]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            if not hasattr(value, part):
                return False
            value = getattr(value, part)
        return True
    return False


def test_every_function_and_test_that_the_equations_name_is_there():
    rows = re.findall(r"^\|(.*)\|$", (ROOT / "docs" / "equations.md").read_text(), re.M)
    names = [
        name
        for row in rows
        for name in re.findall(r"`((?!jnp\.)[a-z_]+\.[\w.]+)`", row)
    ]
    tests = [name for row in rows for name in re.findall(r"`(tests/[\w/.]+)`", row)]
    assert len(names) > 30 and len(tests) > 20
    assert [name for name in names if not found(name)] == []
    assert [name for name in tests if not (ROOT / name).is_file()] == []


@pytest.mark.optax
def test_the_three_commands_lead_from_a_folder_to_a_run(tmp_path, monkeypatch, capsys):
    page = (ROOT / "docs" / "data.md").read_text()
    (block,) = re.findall(r"## Three commands.*?```bash\n(.*?)```", page, re.DOTALL)
    commands = [shlex.split(line) for line in block.strip().splitlines()]
    assert [words[:2] for words in commands] == [
        ["dst-jax", "data"],
        ["dst-jax", "data"],
        ["dst-jax", "train"],
    ]
    write_own_folder(tmp_path / "my_videos", packs.write_raw(tmp_path / "raw"))
    (tmp_path / "tiny.py").write_text(TINY)
    monkeypatch.chdir(tmp_path)
    for command in commands:
        words = ["tiny.py" if word == "siamfc_teacher" else word for word in command]
        assert main(words[1:]) == 0, capsys.readouterr().err
    assert (tmp_path / "runs" / "mine" / "bundles" / "student").is_dir()


def test_every_module_and_function_that_the_glossary_names_is_there():
    page = (ROOT / "docs" / "glossary.md").read_text()
    dotted = re.findall(r"`([a-z]+(?:\.\w+)+)`", page)
    names = [name for name in dotted if not name.endswith((".json", ".jsonl"))]
    assert len(names) > 20
    assert [name for name in names if not found(name)] == []


WRAPPED = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
]


@pytest.mark.parametrize("page", WRAPPED, ids=lambda page: page.name)
def test_lines_outside_tables_and_code_are_at_most_100_wide(page):
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.DOTALL)
    lines = [x for x in prose.splitlines() if not x.startswith(("|", "!["))]
    assert [line for line in lines if len(line) > 100] == []


@pytest.mark.parametrize("page", WRAPPED, ids=lambda page: page.name)
def test_commands_name_configurations_that_are_packaged(page):
    text = re.sub(r"\s+", " ", page.read_text())
    # A file of the reader's own ends in .py.
    named = re.findall(r"dst-jax (?:train|distill|search|ablate) (\w+)\b(?!\.py)", text)
    assert [name for name in named if name not in {*packaged(), "CONFIG"}] == []
