"""Where the families are told apart, and what it takes to add one.

The toy family, `tests/families/temperature.patch`, is a correlation with a learned
temperature. Where its patch no longer applies, CONTRIBUTING.md says how to remake it.
"""

import ast
import json
import math
import os
import pathlib
import re
import shutil
import subprocess
import sys
import typing

import jax
import numpy as np
import pytest

from dst_jax import arch, models
from dst_jax.distill.labels.make import Labels
from tests.test_api import MODULES, PACKAGE, parsed

ROOT = pathlib.Path(__file__).parents[1]
PATCH = ROOT / "tests" / "families" / "temperature.patch"
DEFINED = "arch/heads.py"
KINDS = {
    kind.__name__
    for union in (arch.HeadSpec, models.Answer, Labels)
    for kind in typing.get_args(union)
}


def listed(caption):
    """The modules of the table below `caption` in CONTRIBUTING.md."""
    page = (ROOT / "CONTRIBUTING.md").read_text()
    (section,) = re.findall(
        r"^## A new family: these files\n(.*?)^## ", page, re.M | re.DOTALL
    )
    (table,) = re.findall(rf"^{caption}.*?\n\n((?:\|.*\n)+)", section, re.M)
    rows = table.splitlines()[2:]
    return {name for row in rows for name in re.findall(r"`dst_jax/([\w/]+\.py)`", row)}


def imported_as(tree):
    """Names under which a module knows the kinds, aliases among them."""
    aliases = {
        name.asname: name.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for name in node.names
        if name.asname and name.name in KINDS
    }
    return KINDS | set(aliases)


def names_one(node, kinds):
    """Whether an expression is one of the kinds, or a tuple or union with one."""
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return any(names_one(one, kinds) for one in node.elts)
    if isinstance(node, ast.BinOp):
        return names_one(node.left, kinds) or names_one(node.right, kinds)
    if isinstance(node, ast.Constant):
        return node.value in kinds  # type(x).__name__ == "..."
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", None)
    return name in kinds


def is_check(node, kinds):
    """Whether a call is `isinstance(x, X)` or `issubclass(x, X)` of a kind."""
    if not isinstance(node, ast.Call) or len(node.args) != 2:
        return False
    asks = getattr(node.func, "id", None) in ("isinstance", "issubclass")
    return asks and names_one(node.args[1], kinds)


def is_case(node, kinds):
    return isinstance(node, ast.MatchClass) and names_one(node.cls, kinds)


def tells_apart(node, kinds):
    """Whether a node of the source decides by the kind of a head, answer or label."""
    if isinstance(node, ast.Compare):
        return any(names_one(one, kinds) for one in (node.left, *node.comparators))
    if isinstance(node, ast.Dict):
        return any(key is not None and names_one(key, kinds) for key in node.keys)
    return is_check(node, kinds) or is_case(node, kinds)


def tellers():
    """Modules outside of the heads' own that tell families apart."""
    return {
        module
        for module in MODULES
        if module != DEFINED
        for tree in [parsed(module)]
        for kinds in [imported_as(tree)]
        if any(tells_apart(node, kinds) for node in ast.walk(tree))
    }


def test_families_are_told_apart_where_contributing_says_and_nowhere_else():
    assert tellers() == listed("Told apart")


@pytest.mark.parametrize(
    "source",
    [
        "match x:\n    case RegionHeadSpec(): pass",
        "match x:\n    case heads.RegionHeadSpec() | None: pass",
        "isinstance(x, (int, CellAnswer))",
        "isinstance(x, CellAnswer | RegionAnswer)",
        "type(x) is AnchorLabels",
        "type(x) in (AnchorLabels, CellLabels)",
        "{heads.RegionHeadSpec: 1}[type(x)]",
        'type(x).__name__ == "RegionHeadSpec"',
        "from dst_jax.arch import RegionHeadSpec as R\nisinstance(x, R)",
    ],
)
def test_every_way_of_telling_apart_is_seen(source):
    tree = ast.parse(source)
    assert any(tells_apart(node, imported_as(tree)) for node in ast.walk(tree))


@pytest.mark.parametrize(
    "source", ["RegionHeadSpec(features=2)", "x: RegionHeadSpec = y", "x.stage is None"]
)
def test_to_make_a_head_or_to_ask_it_is_not_to_tell_apart(source):
    assert not any(tells_apart(node, KINDS) for node in ast.walk(ast.parse(source)))


def patterns_in(pattern):
    return [node for node in ast.walk(pattern) if isinstance(node, ast.pattern)]


def ends_in_assert_never(match):
    """Whether the last case takes what is left and hands it to `assert_never`."""
    last = match.cases[-1]
    takes_all = all(isinstance(n, ast.MatchAs) for n in patterns_in(last.pattern))
    calls = [node.func for node in ast.walk(last) if isinstance(node, ast.Call)]
    alone = len(last.body) == 1 and last.guard is None
    return (
        takes_all
        and alone
        and [getattr(f, "id", "") for f in calls] == ["assert_never"]
    )


@pytest.mark.parametrize("module", sorted(listed("Told apart")))
def test_each_decides_by_a_match_that_ends_in_assert_never(module):
    tree = parsed(module)
    kinds = imported_as(tree)
    matches = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Match)
        and any(is_case(one, kinds) for case in node.cases for one in ast.walk(case))
    ]
    assert matches
    assert [m.lineno for m in matches if not ends_in_assert_never(m)] == []
    # What else asks for a kind asserts what the match has settled: it decides nothing.
    settled = {id(node.test) for node in ast.walk(tree) if isinstance(node, ast.Assert)}
    others = [
        node.lineno
        for node in ast.walk(tree)
        if tells_apart(node, kinds)
        and not is_case(node, kinds)
        and id(node) not in settled
    ]
    assert others == []


def touched():
    """Files that the toy's patch changes, and those that it adds."""
    blocks = re.findall(r"^--- (\S+)\n\+\+\+ b/dst_jax/(\S+)$", PATCH.read_text(), re.M)
    new = {name for old, name in blocks if old == "/dev/null"}
    return {name for _, name in blocks} - new, new


def test_a_new_family_changes_the_listed_files_and_no_others():
    changed, new = touched()
    assert changed == listed("Told apart") | listed("Registered")
    assert new == {"models/heads/temperature.py"}


@pytest.fixture(scope="module")
def patched(tmp_path_factory):
    """A folder with a copy of the package that has the toy family."""
    folder = tmp_path_factory.mktemp("patched")
    hidden = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, folder / "dst_jax", ignore=hidden)
    # Not the repository in which the folder may lie: git would skip every file.
    apart = os.environ | {"GIT_CEILING_DIRECTORIES": str(folder.parent)}
    run = ["git", "apply", "-C1", str(PATCH)]
    out = subprocess.run(run, cwd=folder, env=apart, capture_output=True, text=True)
    assert out.returncode == 0, f"{out.stderr}; see the docstring of this test's file"
    return folder


@pytest.fixture(scope="module")
def ran(patched):
    """What `tests/families/run_temperature.py` printed."""
    own = {
        "PYTHONPATH": os.pathsep.join([str(patched), str(ROOT)]),
        "JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    run = [sys.executable, "-m", "tests.families.run_temperature"]
    out = subprocess.run(
        run, cwd=patched, env=os.environ | own, capture_output=True, text=True
    )
    assert out.returncode == 0, out.stderr
    found = json.loads(out.stdout)
    assert pathlib.Path(found["package"]) == patched / "dst_jax"
    return found


def test_the_toy_family_learns_from_every_term(ran):
    terms = {"gt", "ah", "ts", "str", "ks"}
    assert set(ran["parts"]) == {
        f"{s}/{t}" for s in ("dull", "intelligent") for t in terms
    }
    assert all(value > 0.0 for value in ran["parts"].values())
    before, after = ran["losses"]
    assert math.isclose(before, sum(ran["parts"].values()), rel_tol=1e-5)
    assert after < before


def test_the_gradient_reaches_the_toys_temperature(ran):
    gradients = list(ran["gradients"].values())
    assert len(gradients) == 2 and np.isfinite(gradients).all()
    assert np.abs(gradients).min() > 1e-3


def test_the_toy_family_is_counted_and_stored_exactly(ran):
    assert ran["counted"] == ran["parameters"]
    assert ran["stored"]


def test_an_untrained_toy_tracks_as_siamfc_of_the_same_scale_does(ran):
    rows = np.array(ran["toy"])  # a box and a score
    assert rows.shape == (3, 5)
    assert np.abs(rows[1:, :4] - rows[:1, :4]).max() > 1.0
    assert ((0.01 < rows[1:, 4]) & (rows[1:, 4] < 0.99)).all()
    np.testing.assert_allclose(rows, ran["siamfc"], rtol=1e-4)
