"""The commands of scripts/bench_accelerator.sh, read and not run."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

SCRIPTS = pathlib.Path(__file__).parents[2] / "scripts"


def listed() -> list[list[str]]:
    given = {"LIST": "1", "TEACHER": "teacher.bundle", "PACKS": "packed"}
    told = subprocess.run(
        [SCRIPTS / "bench_accelerator.sh"],
        env=os.environ | given,
        check=True,
        capture_output=True,
        text=True,
    )
    return [line.split() for line in told.stdout.splitlines()]


def test_each_command_names_a_script():
    commands = listed()
    assert len(commands) > 20
    for script, *_ in commands:
        assert (SCRIPTS / script).is_file(), script


def test_what_is_measured_is_compiled_before():
    """All but the start of a training, which is measured with an empty store."""
    scripts = [script for script, *_ in listed()]
    alone = {script for script in scripts if scripts.count(script) == 1}
    assert alone == {"bench_start.py"}


@pytest.mark.slow
def test_scripts_take_the_options_of_each_command():
    """A search trains for seconds, so that a wrong option would be told late."""
    wanted: dict[str, set[str]] = {}
    for script, *arguments in listed():
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
