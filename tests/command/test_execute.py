"""Whatever a configuration's file holds or does: a value, or one line that names it."""

import os

import pytest

from dst_jax.command.main import main

GOOD = """\
from dst_jax.configs import demo_teacher
def experiment():
    return demo_teacher.experiment()
"""
# A frozen value forced, past every check of its class.
CHANGED = """\
from dst_jax.configs import demo_teacher
def experiment():
    made = demo_teacher.experiment()
    vars(made).update({})
    return made
"""
FILES = [
    (GOOD.encode("utf-16"), "is UTF-16; save it as UTF-8."),
    (b"x = 1\n\0\n", "line 2: has a NUL byte; is it Python?"),
    (b"x = 1\ny = 'caf\xe9'\n", "line 2: is not utf-8; save it as UTF-8."),
    (b"# coding: nothing\n", "unknown encoding for "),
    (b"x = 1\ndef f(:\n", "line 2: invalid syntax."),
    (b"x = 1\n   y = 2\n", "line 2: unexpected indent."),
    (b"x = " + b"(" * 100_000, "line 1: too many nested parentheses."),
    (b"\nimport nothing_there\n", "line 2: ModuleNotFoundError: No module named"),
    (b"import sys\nsys.exit(3)\n", "line 2: it ends Python (SystemExit(3))."),
    (b"class E(BaseException): pass\nraise E('x')\n", "line 2: E: x."),
    (b"raise Exception\n", "line 1: Exception."),
    (b"{}['a']\n", "line 1: KeyError: 'a'."),
    (
        b"raise ValueError('a\\nb\\x1b[31m' + 'x' * 10**7)\n",
        "ValueError: a\\nb\\x1b[31mx",
    ),
    (
        b"def f(): return f()\n\nf()\n",
        "line 1: RecursionError: maximum",
    ),
    (b"", "defines no function experiment()."),
    (b"experiment = 3\n", "TypeError: 'int' object is not callable."),
    (b"def experiment(a): pass\n", "missing 1 required positional argument: 'a'."),
    (b"def experiment(): pass\n", "experiment() must return an Experiment, not None."),
    (b"def experiment(): return 3\n", "must return an Experiment, not int."),
    (
        b"from dst_jax.train import OptimConfig\nx = OptimConfig(epochs=-1.0)\n",
        "line 2: OptimConfig.epochs=-1.0: must be finite and positive.",
    ),
    (
        CHANGED.format("optim=3").encode(),
        "Experiment.optim: must be OptimConfig, not int.",
    ),
    (
        CHANGED.format("students={}").encode(),
        "Experiment.students: must name one student at least.",
    ),
    (
        CHANGED.format("students={'a': 'tiny'}").encode(),
        "student 'a': must be a TrackerSpec, not str.",
    ),
]


@pytest.mark.parametrize(("content", "line"), FILES, ids=range(len(FILES)))
def test_a_file_that_makes_no_experiment_is_one_line(content, line, tmp_path, capsys):
    path = tmp_path / "mine.py"
    path.write_bytes(content)
    assert main(["config", "show", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and len(err) < 1000
    assert err.startswith(f"dst-jax: CONFIG {path}: ")
    assert line in err


def test_a_file_in_another_encoding_that_it_declares_is_read(tmp_path, capsys):
    path = tmp_path / "mine.py"
    path.write_bytes(b"# coding: latin-1\n# caf\xe9\n" + GOOD.encode())
    assert main(["config", "show", str(path)]) == 0


@pytest.mark.parametrize(
    ("make", "told"), [(os.mkdir, "is a folder"), (os.mkfifo, "no such file")]
)
def test_what_is_no_file_is_not_waited_for(make, told, tmp_path, capsys):
    make(tmp_path / "mine.py")
    assert main(["config", "show", str(tmp_path / "mine.py")]) == 2
    assert told in capsys.readouterr().err
