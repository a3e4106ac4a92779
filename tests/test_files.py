"""Files and folders are whole or absent; digests are SHA-256; `~` is home."""

import ast
import hashlib
import os
import pathlib
import subprocess
import sys

import pytest

from dst_jax import digests, files
from dst_jax.errors import InputError
from tests.test_api import MODULES, parsed

# What `files.py` alone may do: the last part of what is called or imported.
RESERVED = {"rename", "renames", "expanduser", "tempfile", "hashlib", "shutil", "fsync"}
# The ledger of a search is appended to, and what is appended must be on the disk.
# Temporary files and folders are removed by the module below `files.py`.
ALLOWED = {
    ("search/ledger.py", "fsync"),
    ("temporary.py", "shutil"),
    ("digests.py", "hashlib"),
}


def names_in(path):
    return sorted(p.name for p in path.iterdir())


def test_json_comes_back_and_nothing_else_is_left(tmp_path):
    files.write_json(tmp_path / "a.json", {"b": [1, 2.5], "a": "ü"})
    assert files.read_json(tmp_path / "a.json") == {"a": "ü", "b": [1, 2.5]}
    assert names_in(tmp_path) == ["a.json"]


def test_json_is_laid_out_as_ever(tmp_path):
    files.write_json(tmp_path / "a.json", {"b": 1, "a": ["ü"]})
    sorted_text = '{\n  "a": [\n    "\\u00fc"\n  ],\n  "b": 1\n}\n'
    assert (tmp_path / "a.json").read_bytes() == sorted_text.encode()
    files.write_json(tmp_path / "a.json", {"b": 1, "a": 2}, sort_keys=False)
    assert (tmp_path / "a.json").read_bytes() == b'{\n  "b": 1,\n  "a": 2\n}\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1', "a.json: not JSON"),
        (b"\xff\xfe", "a.json: not JSON"),
        (b"[1, 2]", "a.json: expected a JSON object"),
        (b"[" * 200_000, "a.json: nested over 64 deep"),
        (b"1" * 5_000, "a.json: not JSON"),
    ],
)
def test_a_bad_file_is_named(tmp_path, content, message):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=message):
        files.read_json(tmp_path / "a.json")


@pytest.mark.parametrize("value", [object(), float("nan"), float("inf")])
def test_a_value_that_is_no_json_leaves_the_old_file(tmp_path, value):
    files.write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises((TypeError, ValueError)):
        files.write_json(tmp_path / "a.json", {"a": value})
    assert files.read_json(tmp_path / "a.json") == {"a": 1}
    assert names_in(tmp_path) == ["a.json"]


def test_text_is_written_in_utf_8_and_replaces_what_was_there(tmp_path):
    files.write_text(tmp_path / "a.txt", "long, and longer still")
    files.write_text(tmp_path / "a.txt", "ü\n")
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xbc\n"


def test_a_file_in_work_has_a_hidden_name_with_its_suffix(tmp_path):
    (tmp_path / "film.mp4").write_text("old")
    with files.whole_file(tmp_path / "film.mp4") as temporary:
        temporary.write_text("new")
        assert temporary.parent == tmp_path and temporary.suffix == ".mp4"
        assert temporary.name.startswith(".tmp-")
        assert (tmp_path / "film.mp4").read_text() == "old"
    assert (tmp_path / "film.mp4").read_text() == "new"
    assert names_in(tmp_path) == ["film.mp4"]


def test_a_file_that_is_not_finished_leaves_the_old_one_and_nothing_else(tmp_path):
    (tmp_path / "a").write_text("old")
    with (
        pytest.raises(ZeroDivisionError),
        files.whole_file(tmp_path / "a") as temporary,
    ):
        temporary.write_text("half")
        _ = 1 / 0
    assert (tmp_path / "a").read_text() == "old" and names_in(tmp_path) == ["a"]


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "a"
    with files.whole_file(path) as first, files.whole_file(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # that block ends last
    assert names_in(tmp_path) == ["a"]


def test_a_folder_is_absent_until_it_is_whole(tmp_path):
    out = tmp_path / "new" / "out"
    with files.whole_folder(out) as folder:
        (folder / "a").write_text("1")
        assert not out.exists()
    assert names_in(out) == ["a"] and names_in(out.parent) == ["out"]
    with pytest.raises(ZeroDivisionError), files.whole_folder(tmp_path / "b") as folder:
        (folder / "a").write_text("1")
        _ = 1 / 0
    assert names_in(tmp_path) == ["new"]


def test_a_full_folder_gives_way_only_when_asked(tmp_path):
    out = tmp_path / "out"
    (out / "deep").mkdir(parents=True)
    with pytest.raises(OSError), files.whole_folder(out) as folder:
        (folder / "a").write_text("1")
    assert names_in(out) == ["deep"] and names_in(tmp_path) == ["out"]
    with files.whole_folder(out, replace=True) as folder:
        (folder / "a").write_text("1")
    assert names_in(out) == ["a"] and names_in(tmp_path) == ["out"]


KILLED = """
import os, pathlib, sys
from dst_jax import files
rename, left = os.rename, int(sys.argv[2])
def killed(*paths):
    global left
    if not left:
        os._exit(9)
    left -= 1
    rename(*paths)
os.rename = killed
with files.whole_folder(pathlib.Path(sys.argv[1]), replace=True) as folder:
    (folder / "a").write_text("new")
os._exit(9)
"""


@pytest.mark.parametrize(("renames", "left"), [(0, "old"), (1, "old"), (2, "new")])
def test_a_kill_while_a_folder_is_replaced_loses_nothing(tmp_path, renames, left):
    out = tmp_path / "out"
    with files.whole_folder(out) as folder:
        (folder / "a").write_text("old")
    program = [sys.executable, "-c", KILLED, str(out), str(renames)]
    root = pathlib.Path(files.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    assert subprocess.run(program, env=environment, timeout=60).returncode == 9
    assert (files.found_folder(out) / "a").read_text() == left
    with files.whole_folder(out, replace=True) as folder:
        (folder / "a").write_text("newest")
    assert (files.found_folder(out) / "a").read_text() == "newest"
    files.remove_leftovers(tmp_path)
    assert names_in(tmp_path) == ["out"]


def test_an_unfinished_folder_waits_and_goes_on(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt), files.resumed_folder(out) as folder:
        (folder / "a").write_text("1")
        (folder / ".tmp-00000000-b").write_text("half")
        raise KeyboardInterrupt
    assert names_in(tmp_path) == [".out.partial"]
    with files.resumed_folder(out) as folder:
        assert names_in(folder) == ["a"]
        (folder / "b").write_text("2")
    assert names_in(out) == ["a", "b"]
    with files.resumed_folder(out) as folder:
        assert not out.exists() and names_in(folder) == ["a", "b"]
    assert names_in(tmp_path) == ["out"]


def test_leftovers_go_and_everything_else_stays(tmp_path):
    (tmp_path / ".tmp-0a1b2c3d-x").mkdir()
    (tmp_path / ".tmp-0a1b2c3d-x" / "y").write_text("")
    (tmp_path / ".tmp-0a1b2c3d-y.json").write_text("")
    for name in ("tmp-a", ".pack.partial", ".bundle.replaced", "a.tmp"):
        (tmp_path / name).write_text("")
    files.remove_leftovers(tmp_path)
    assert names_in(tmp_path) == [".bundle.replaced", ".pack.partial", "a.tmp", "tmp-a"]


def test_digests_are_sha_256(tmp_path):
    # FIPS 180-2, example B.1.
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    (tmp_path / "abc").write_bytes(b"abc")
    assert digests.bytes_sha256(b"abc") == abc
    assert digests.parts_sha256(part for part in (b"a", b"", b"bc")) == abc
    assert digests.file_sha256(tmp_path / "abc") == abc
    compact = hashlib.sha256(b'{"a":[1,2.5],"b":null}').hexdigest()
    assert digests.json_sha256({"b": None, "a": [1, 2.5]}) == compact


def test_a_tilde_is_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    assert files.user_path("~/runs") == pathlib.Path("/home/ada/runs")
    assert files.user_path(pathlib.Path("~")) == pathlib.Path("/home/ada")
    assert files.user_path("runs/~") == pathlib.Path("runs/~")
    # No such user: whoever opens it complains of the path.
    assert files.user_path("~nobody-of-that-name/x").parts[0] == "~nobody-of-that-name"


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"files.py"}))
def test_one_module_alone_renames_digests_and_expands(module):
    found = set()
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {(node.module or "").split(".")[0], *(a.name for a in node.names)}
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "replace":
            # A path's own takes one argument, that of text two; os has another.
            moved = len(node.args) == 1 and not node.keywords
            owner = getattr(getattr(node.func, "value", None), "id", "")
            found |= {"rename"} if moved or owner == "os" else set()
    bad = {name for name in found & RESERVED if (module, name) not in ALLOWED}
    assert not bad, f"{module}: leave {sorted(bad)} to dst_jax/files.py"


def test_a_full_disk_is_told_with_the_name_that_the_user_gave(tmp_path):
    with (
        pytest.raises(OSError, match="No space") as told,
        files.whole_file(tmp_path / "a.json"),
    ):
        raise OSError(28, "No space left on device")
    assert told.value.filename == str(tmp_path / "a.json")
    with (
        pytest.raises(OSError, match="No space") as told,
        files.whole_folder(tmp_path / "b") as temporary,
    ):
        raise OSError(28, "No space left on device", str(temporary / "inner"))
    assert told.value.filename == str(tmp_path / "b")
    assert names_in(tmp_path) == []


def test_an_error_that_names_another_file_keeps_it(tmp_path):
    with (
        pytest.raises(OSError, match="gone") as told,
        files.whole_file(tmp_path / "a.json"),
    ):
        raise OSError(2, "gone", "/frames/1.jpg")
    assert told.value.filename == "/frames/1.jpg"


def test_a_place_that_can_be_written_is_let_through(tmp_path):
    files.require_place(tmp_path / "new" / "deep" / "a.txt", space=1000)
    assert names_in(tmp_path) == []


def test_a_place_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file is no folder"):
        files.require_place(tmp_path / "file" / "deep" / "a.txt")


def test_a_place_without_space_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"MB are free on that disk and about 1000000"):
        files.require_place(tmp_path / "a.mp4", space=10**18)


def test_a_place_that_is_read_only_is_refused(tmp_path, monkeypatch):
    # Rights do not bind whoever runs the tests as root.
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr(files.tempfile, "TemporaryFile", refuse)
    with pytest.raises(InputError, match=r"nothing can be written in .*Permission"):
        files.require_place(tmp_path / "a.txt")


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_what_can_be_no_path_is_refused(path):
    with pytest.raises(InputError, match="is no path"):
        files.user_path(path)


WRITER = """
import pathlib, sys, time
from dst_jax import files
with getattr(files, sys.argv[1])(pathlib.Path(sys.argv[2])) as temporary:
    print(temporary.name, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("kind", ["whole_file", "whole_folder"])
def test_the_next_writer_removes_what_a_killed_one_left_and_not_a_living_ones(
    tmp_path, kind
):
    root = pathlib.Path(files.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    program = [sys.executable, "-c", WRITER, kind, str(tmp_path / "mine")]
    with subprocess.Popen(
        program, env=environment, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        left = writer.stdout.readline().strip()
        files.write_text(tmp_path / "other.txt", "")
        assert names_in(tmp_path) == sorted([left, "other.txt"])
        writer.kill()
    (tmp_path / ".tmp-notes").write_text("the user's own")
    files.write_text(tmp_path / "other.txt", "")
    assert names_in(tmp_path) == [".tmp-notes", "other.txt"]


def test_the_longest_name_and_one_that_is_no_utf_8_can_be_written(tmp_path):
    longest = tmp_path / ("x" * 251 + ".txt")
    files.write_text(longest, "1")
    bytes_name = tmp_path / os.fsdecode(b"caf\xe9.txt")
    with files.whole_file(bytes_name) as temporary:
        assert temporary.name.isascii() and temporary.suffix == ".txt"
        temporary.write_text("2")
    assert (longest.read_text(), bytes_name.read_text()) == ("1", "2")


def test_a_place_that_refuses_is_named_and_not_the_temporary_file(tmp_path):
    with pytest.raises(FileNotFoundError) as told:
        files.write_text(tmp_path / "absent" / "a.txt", "")
    assert told.value.filename == str(tmp_path / "absent" / "a.txt")


def test_a_trial_leaves_nothing_and_makes_no_folder(tmp_path):
    with files.trial_file(tmp_path / "new" / "a.mp4") as trial:
        assert trial.parent == tmp_path and trial.suffix == ".mp4"
        trial.write_text("tried")
    assert names_in(tmp_path) == []
