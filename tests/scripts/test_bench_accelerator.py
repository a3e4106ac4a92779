"""The commands of scripts/bench_accelerator.sh, read and not run."""

import itertools
import os
import pathlib
import re
import subprocess
import sys

import pytest

SCRIPTS = pathlib.Path(__file__).parents[2] / "scripts"


def commands() -> tuple[list[list[str]], list[list[str]]]:
    """What is compiled first, and what is measured then."""
    given = {"LIST": "1", "TEACHER": "teacher.bundle", "PACKS": "packed"}
    told = subprocess.run(
        [SCRIPTS / "bench_accelerator.sh"],
        env=os.environ | given,
        check=True,
        capture_output=True,
        text=True,
    )
    lines = [line.split() for line in told.stdout.splitlines()]
    # A blank line lies between them.
    return lines[: lines.index([])], lines[lines.index([]) + 1 :]


def test_each_command_names_a_script():
    for script, *_ in itertools.chain(*commands()):
        assert (SCRIPTS / script).is_file(), script


# Options that make other programs.
PROGRAMS = {
    "--family", "--row", "--batch", "--batches", "--sizes", "--sides", "--precision",
    "--attention", "--networks", "--apart", "--targets", "--case",
}  # fmt: skip


def options(words: list[str]) -> dict[str, set[str]]:
    """Values of the options that make other programs."""
    found, name = dict[str, set[str]](), ""
    for word in words:
        name = word if word.startswith("--") else name
        if name in PROGRAMS:
            found.setdefault(name, set()).update({word} - {name})
    return found


def test_what_is_measured_is_compiled_before():
    """All but the start of a training, which is measured with an empty store."""
    compiled, measured = commands()
    for script, *words in (c for c in measured if c[0] != "bench_start.py"):
        ahead = dict[str, set[str]]()
        for _, *own in (c for c in compiled if c[0] == script):
            for name, values in options(own).items():
                ahead.setdefault(name, set()).update(values)
        for name, values in options(words).items():
            assert values <= ahead.get(name, set()), (script, name, values, ahead)


def test_what_fails_is_told_and_the_others_go_on(tmp_path):
    python = tmp_path / "python"
    python.write_text(
        "#!/bin/sh\ncase $* in *xcorr*) echo no kernel; exit 3;; "
        "*--parity*) echo score 1e-6;; esac\n"
    )
    python.chmod(0o755)
    done = subprocess.run(
        [SCRIPTS / "bench_accelerator.sh", "out"],
        cwd=tmp_path,
        env=os.environ | {"PYTHON": str(python)},
        capture_output=True,
        text=True,
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert lines[-1] == f"2 commands failed; logs: {tmp_path / 'out'}"
    assert lines.count("no kernel") == 2 and "score 1e-6" in lines
    assert len([*(tmp_path / "out").glob("measured-*.log")]) == len(commands()[1]) - 1


@pytest.mark.slow
def test_scripts_take_the_options_of_each_command():
    """A search trains for seconds, so that a wrong option would be told late."""
    wanted: dict[str, set[str]] = {}
    for script, *arguments in itertools.chain(*commands()):
        end = arguments.index("distill") if "distill" in arguments else None
        own = arguments[:end]
        flags = {a for a in own if a.startswith("--") and not a.startswith("--xla")}
        wanted.setdefault(script, set()).update(flags)
    for script, flags in wanted.items():
        told = subprocess.run(
            [sys.executable, SCRIPTS / script, "--help"],
            check=True,
            capture_output=True,
            text=True,
        )
        known = set(re.findall(r"--[a-z][a-z-]*", told.stdout))
        assert flags <= known, (script, flags - known)
