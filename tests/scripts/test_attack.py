"""The attacks find nothing in the program, and do find what they look for."""

import importlib
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"


@pytest.fixture
def attacks(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("attack_flips"), importlib.import_module("attack")


@pytest.mark.slow
def test_a_few_attacks_of_each_kind_find_nothing(tmp_path):
    """The script forks, so it runs in a process of its own."""
    names = ("checkpoint", "bundle", "pack", "index", "ledger", "export", "track-txt")
    words = ["--only", *names, "--count", "3", "--workdir", tmp_path / "w"]
    done = subprocess.run(
        [sys.executable, SCRIPTS / "attack.py", *words],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    rows = [line for line in done.stdout.splitlines() if line.startswith("│")]
    assert len(rows) == len(names) and all(" none " in row for row in rows)


@pytest.mark.parametrize(
    ("use", "outcome"),
    [
        (lambda content: content == b"\0" * 64, "believed"),
        (lambda content: len(content), "without effect"),
        (lambda content: content.decode() and [][0], "crash"),
    ],
)
def test_a_flip_that_is_believed_or_crashes_is_counted(attacks, use, outcome, tmp_path):
    flips, attack = attacks
    (tmp_path / "file").write_bytes(b"\0" * 64)
    target = flips.Target(lambda made: [tmp_path / "file"], use)
    expected = True if outcome == "believed" else 64
    flips._flip(target.files(None), flips.random.Random(0))
    content = (tmp_path / "file").read_bytes()
    assert sum(bin(byte).count("1") for byte in content) == 1
    found, note = flips._outcome(target, content, expected)
    assert found == outcome and bool(note) == (outcome in attack.FAULTS)


def test_every_fuzzed_file_is_there_and_has_hypothesis_tests(attacks):
    from_plugin = importlib.import_module("attack_fuzz").FILES
    assert len(set(from_plugin)) == len(from_plugin) > 10
    for name in from_plugin:
        assert "@given(" in (ROOT / name).read_text(), name


def test_the_fuzz_gives_each_hypothesis_test_many_times_its_examples(tmp_path):
    test = tmp_path / "test_x.py"
    test.write_text(
        "from hypothesis import given, settings, strategies as st\n"
        "@settings(max_examples=7)\n"
        "@given(st.integers())\n"
        "def test_any(n):\n"
        "    print('example')\n"
    )
    report = tmp_path / "report.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "attack_fuzz", "-s", str(test)),
            *("-c", os.devnull, "-p", "no:cacheprovider"),
        ],
        cwd=tmp_path,
        env=os.environ
        | {"PYTHONPATH": f"{SCRIPTS}{os.pathsep}{ROOT}", "ATTACK_TIMES": "6"}
        | {"ATTACK_REPORT": str(report)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.count("example") == 42, done.stdout[-2000:]
    assert report.read_text() == '{"examples": 42, "passed": 1, "failed": []}'
