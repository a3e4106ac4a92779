"""The launcher of several processes on one machine."""

import pathlib
import signal
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "scripts" / "launch_local.py"


def launch(code, *options, processes=2):
    words = [sys.executable, SCRIPT, "--processes", str(processes), *options]
    return subprocess.Popen(
        [*words, "--", sys.executable, "-uc", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ends(run):
    out, _ = run.communicate(timeout=60)
    return run.returncode, sorted(out.splitlines())


def test_each_process_is_told_how_to_join_and_its_lines_are_numbered():
    code, lines = ends(launch("import sys; print(sys.argv[1:])", processes=3))
    assert code == 0 and len(lines) == 3
    addresses = set()
    for number, line in enumerate(lines):
        told = line.removeprefix(f"{number}: ")
        words = told.strip("[]").replace("'", "").split(", ")
        assert words[::2] == ["--coordinator", "--processes", "--process-id"]
        addresses.add(words[1])
        assert words[3:] == ["3", "--process-id", str(number)]
    (address,) = addresses
    assert address.startswith("127.0.0.1:")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_handed_on_to_all(number):
    waits = (
        "import signal, sys, time\n"
        f"signal.signal({int(number)}, lambda n, f: sys.exit(7))\n"
        "print('waits')\n"
        "time.sleep(60)"
    )
    run = launch(waits)
    assert sorted(run.stdout.readline() for _ in range(2)) == [
        "0: waits\n",
        "1: waits\n",
    ]
    run.send_signal(number)
    assert ends(run)[0] == 7


def test_processes_that_another_left_alone_are_ended():
    leaves = (
        "import sys, time; time.sleep(0 if sys.argv[-1] == '1' else 60); sys.exit(3)"
    )
    assert ends(launch(leaves, "--grace", "0.5"))[0] == 3


def test_no_process_at_all_is_refused():
    run = launch("", processes=0)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 2 and "--processes 0: must be 1 or more." in said
