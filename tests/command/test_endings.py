"""Whatever ends a verb: one line, an exit code, nothing of the interpreter's own."""

import errno
import logging
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from dst_jax.command import dispatch
from dst_jax.command.main import main
from dst_jax.command.signals import stop_signals

DST_JAX = [sys.executable, "-m", "dst_jax.command.main"]
FULL = "No space left on device; free some space or name another place."
# A verb that waits within an open temporary folder, as a long one does.
WAITING = """
import pathlib, sys, time
from dst_jax.command import dispatch, main
from dst_jax.files import whole_folder

def wait(words):
    with whole_folder(pathlib.Path("made")) as folder:
        print("waiting", flush=True)
        time.sleep(60)

dispatch.run_verb = wait
sys.exit(main.main(["track"]))
"""


def ended(monkeypatch, capsys, error, words=("track", "x")):
    """Exit code and standard error of a verb that raises `error`."""

    def verb(given):
        raise error

    monkeypatch.setattr(dispatch, "run_verb", verb)
    code = main(words)
    return code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), f"track: {FULL}"),
        (
            OSError(errno.ENOSPC, "No space left on device", "a/b.txt"),
            f"a/b.txt: {FULL}",
        ),
        (OSError(errno.ENOSPC, "No space left on device", 7), f"track: {FULL}"),
        (
            OSError(errno.EDQUOT, "Disk quota exceeded"),
            "track: Disk quota exceeded; free some space or name another place.",
        ),
        (
            OSError(errno.EROFS, "Read-only file system"),
            "track: Read-only file system; name another place.",
        ),
        (
            OSError(errno.EACCES, "Permission denied", b"v\xe9\n.mp4"),
            "v\\xe9\\n.mp4: Permission denied; mend its rights or name another place.",
        ),
        (
            OSError(errno.EIO, "Input/output error"),
            "track: Input/output error; the disk or its connection failed.",
        ),
        (
            OSError(errno.EMFILE, "Too many open files"),
            "track: Too many open files; raise the limit, see `ulimit -n`.",
        ),
        (
            MemoryError("Unable to allocate 74.5 GiB"),
            "track: not enough memory (Unable to allocate 74.5 GiB); close other "
            "programs or take a smaller input.",
        ),
        (
            MemoryError(),
            "track: not enough memory; close other programs or take a smaller input.",
        ),
        (
            RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating\n 9 bytes."),
            "track: not enough memory on the device (RESOURCE_EXHAUSTED: Out of memory "
            "allocating 9 bytes.); take smaller batches or crops.",
        ),
        (
            ValueError("INTERNAL: a/b: [OS error 28: No space left on device]"),
            "track: No space left on device; free some space or name another place "
            "(INTERNAL: a/b: [OS error 28: No space left on device]).",
        ),
    ],
)
def test_what_the_system_refuses_is_one_line(monkeypatch, capsys, error, line):
    assert ended(monkeypatch, capsys, error) == (2, f"dst-jax: {line}\n")


@pytest.mark.parametrize(
    "error", [ValueError("a"), RecursionError("deep"), OSError("no number")]
)
def test_what_no_user_can_mend_stays_an_error_of_ours(monkeypatch, capsys, error):
    with pytest.raises(type(error)):
        ended(monkeypatch, capsys, error)


def test_a_thread_that_cannot_write_is_one_line_at_the_end(monkeypatch, capsys):
    def write():
        raise OSError(errno.ENOSPC, "No space left on device")

    def verb(given):
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
        print("the work is done")

    monkeypatch.setattr(dispatch, "run_verb", verb)
    assert main(["train", "c"]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("the work is done\n", f"dst-jax: train: {FULL}\n")


def test_what_libraries_log_is_one_line_and_no_traceback(monkeypatch, capsys):
    def verb(given):
        try:
            raise OSError("inner")
        except OSError:
            logging.getLogger("absl").exception("what is raised too")
            logging.getLogger("library").exception("two\n\x1b[31mlines")

    monkeypatch.setattr(dispatch, "run_verb", verb)
    assert main(["train", "c"]) == 0
    assert capsys.readouterr().err == "note: two\\n\\x1b[31mlines\n"


def test_an_interruption_says_whether_to_run_again(monkeypatch, capsys):
    stop = KeyboardInterrupt()
    told = {
        ("evaluate",): "dst-jax: interrupted\n",
        ("search", "c"): "dst-jax: interrupted; run again to go on\n",
        ("data", "pack"): "dst-jax: interrupted; run again to go on\n",
        ("data", "verify"): "dst-jax: interrupted\n",
    }
    for words, line in told.items():
        assert ended(monkeypatch, capsys, stop, words) == (130, line)


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)],
)
def test_a_signal_ends_a_verb_in_one_line_and_leaves_nothing(tmp_path, number, code):
    process = started(tmp_path)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (code, "", "dst-jax: interrupted\n")
    assert list(tmp_path.iterdir()) == []


def test_a_signal_that_was_to_be_ignored_is_ignored(tmp_path):
    process = started(tmp_path, preexec_fn=lambda: ignore(signal.SIGHUP))
    process.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143


def ignore(number):
    signal.signal(number, signal.SIG_IGN)


def started(folder, **options):
    """A verb that is waiting in `folder`."""
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )
    assert process.stdout.readline() == "waiting\n"
    assert any(path.name.startswith(".tmp-") for path in folder.iterdir())
    return process


def test_after_a_verb_signals_do_what_they_did_before(capsys):
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    assert main(["--version"]) == 0
    assert [signal.getsignal(number) for number in numbers] == before


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize("words", [["info", "tiny"], ["--help"], ["config", "--help"]])
def test_output_that_cannot_be_written_is_one_line(words):
    with open("/dev/full", "w") as full:
        run = subprocess.run(
            [*DST_JAX, *words], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert (run.returncode, run.stderr) == (2, f"dst-jax: standard output: {FULL}\n")


@pytest.mark.parametrize("words", [["info", "tiny"], ["--help"]])
def test_a_reader_that_went_away_ends_a_verb_quietly(words):
    read, write = os.pipe()
    os.close(read)
    run = subprocess.run(
        [*DST_JAX, *words], stdout=write, stderr=subprocess.PIPE, text=True
    )
    os.close(write)
    assert (run.returncode, run.stderr) == (141, "")


def test_a_reader_that_went_away_does_not_end_the_work(monkeypatch, capsys):
    class Gone:
        def write(self, text):
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

        def flush(self):
            pass

        def fileno(self):
            raise OSError

    done = []

    def verb(words):
        print("a table")
        done.append("file written")

    monkeypatch.setattr(dispatch, "run_verb", verb)
    monkeypatch.setattr(sys, "stdout", Gone())
    assert main(["evaluate"]) == 141
    assert done == ["file written"]


def test_closed_streams_are_no_error():
    for closed in (">&-", "2>&-", ">&- 2>&- <&-"):
        line = f'"$0" -m dst_jax.command.main info tiny {closed}'
        run = subprocess.run(["sh", "-c", line, sys.executable], capture_output=True)
        assert run.returncode == 0
        assert b"Exception" not in run.stderr and b"Traceback" not in run.stderr


@pytest.mark.parametrize(
    "ascii_only",
    [
        {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
)
def test_a_terminal_that_knows_ascii_alone_shows_escapes(ascii_only, tmp_path):
    name = "caf\u00e9\udce9"
    words = ["data", "verify", f"folder:{tmp_path}/{name}"]
    run = subprocess.run(
        [*DST_JAX, *words], capture_output=True, env=os.environ | ascii_only
    )
    assert run.returncode == 2
    assert run.stderr.count(b"\n") == 1 and run.stderr.isascii()
    assert rb"\xe9" in run.stderr
    run = subprocess.run(
        [*DST_JAX, "info", "tiny"], capture_output=True, env=os.environ | ascii_only
    )
    assert run.returncode == 0 and run.stdout.isascii()


def test_version_names_what_results_depend_on(capsys):
    assert main(["--version"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[0] == "dst-jax"
    assert f"python {sys.version.split()[0]}" in lines
    assert any(line.startswith("jax 0.") for line in lines)
    assert lines[-1].startswith("platform ")


# Places in which Python drops an exception, or a library of C++ would end the process.
DEAF = {
    "a callback of the garbage collector": """
class Loop: pass
def _xla_gc_callback(*arguments):
    os.kill(os.getpid(), signal.SIGTERM)
    len("served here")
def verb(words):
    import gc
    gc.callbacks.append(_xla_gc_callback)
    gc.collect()
    gc.callbacks.clear()
    time.sleep(30)
""",
    "the end of an object": """
class Dying:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        len("served here")
def verb(words):
    Dying()
    time.sleep(30)
""",
    "an import": """
import pathlib
pathlib.Path("begins.py").write_text(
    "import os, signal\\nos.kill(os.getpid(), signal.SIGTERM)\\nended = True\\n"
)
sys.path.insert(0, ".")
def verb(words):
    import begins
    assert begins.ended
    time.sleep(30)
""",
}


@pytest.mark.parametrize("where", DEAF)
def test_a_signal_that_comes_where_nobody_hears_is_obeyed_later(where, tmp_path):
    lines = (
        "import os, signal, sys, time",
        "from dst_jax.command import dispatch, main",
        DEAF[where],
        "dispatch.run_verb = verb",
        "sys.exit(main.main())",
    )
    path = os.pathsep.join(p for p in sys.path if p)
    run = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=25,
    )
    assert (run.returncode, run.stderr) == (143, "dst-jax: interrupted\n")


def test_what_a_library_does_with_errors_of_its_threads_outlives_the_verb():
    """Threads of a verb may fail after its end, which is then printed already."""
    before = sys.unraisablehook
    with stop_signals():
        verbs = sys.unraisablehook
    assert sys.unraisablehook == before != verbs

    def forgiving(unraisable):
        pass

    try:
        with stop_signals():
            sys.unraisablehook = forgiving
        assert sys.unraisablehook is forgiving
    finally:
        sys.unraisablehook = before
