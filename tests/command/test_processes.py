"""The options by which processes find each other, before any of them is joined."""

import jax
import pytest

from dst_jax.command.main import main
from dst_jax.command.processes import joined_run
from dst_jax.errors import InputError, told_to_all

TRAIN = ["train", "demo_teacher", "--workdir", "unmade"]
ALL = "--coordinator localhost:8476 --processes 2 --process-id"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            "--coordinator localhost:1",
            "--coordinator needs --processes and --process-id too",
        ),
        ("--processes 2", "--processes needs --coordinator and --process-id too"),
        ("--pod --process-id 0", "--process-id: --pod takes it from the environment"),
        (f"{ALL} 2", "--process-id 2: must be from 0 to 1, for --processes 2."),
        (f"{ALL} -1", "--process-id -1: must be from 0 to 1"),
        (
            "--coordinator localhost --processes 2 --process-id 0",
            "--coordinator localhost: is no address; give HOST:PORT",
        ),
        (
            "--coordinator a:1 --processes 0 --process-id 0",
            "--processes 0: must be 1 or more.",
        ),
    ],
)
def test_options_that_do_not_fit_together_are_one_line(words, line, capsys, tmp_path):
    assert main([*TRAIN, *words.split()]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and line in said


def test_processes_that_do_not_find_each_other_are_one_line(monkeypatch):
    def initialize(*_, **__):
        raise RuntimeError("DEADLINE_EXCEEDED: no answer\nmore")

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    line = (
        r"--coordinator h:1: the processes did not find each other \(DEADLINE_EXCEEDED:"
        r" no answer\); start all of them"
    )
    with pytest.raises(Exception, match=line), joined_run("h:1", 2, 1, on_pod=False):
        pass


def test_processes_leave_together_unless_one_alone_has_failed(monkeypatch):
    """JAX ends a process that waits for others in vain, before its line is printed."""
    called = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *a, **_: called.append(a))
    monkeypatch.setattr(jax.distributed, "shutdown", lambda: called.append("left"))
    alone, all_ = InputError("a frame"), told_to_all(InputError("the loss"))
    for error in (alone, all_):
        with (
            pytest.raises(InputError, match=str(error)),
            joined_run("h:1", 2, 1, on_pod=False),
        ):
            raise error
    with joined_run(None, None, None, on_pod=True):
        pass
    with joined_run(None, None, None, on_pod=False):
        pass
    joined = ("h:1", 2, 1)
    assert called == [joined, joined, "left", (None, None, None), "left"]
