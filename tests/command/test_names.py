"""Names of files and sequences are bytes: shown as one line, opened as they are."""

import ast
import os
import pathlib
import shutil

import cv2
import numpy as np
import pytest

import dst_jax
from dst_jax.bundle import Bundle, save_bundle
from dst_jax.command.main import main
from dst_jax.track import SiamFCTracking
from tests.data import small_packs
from tests.test_docs import TINY
from tests.track import scenes

PACKAGE = pathlib.Path(dst_jax.__file__).parent
# A name has no slash; the folder above makes a closing tag of two names.
EVIL = "x[red]\x1b[31m\n:smile:\udce9[bold]"
# Some libraries take no other names than UTF-8.
TEXT = EVIL.replace("\udce9", "e")
SHOWN_TEXT = r"x[red]\x1b[31m\n:smile:e[bold]"
SHOWN = r"x[red]\x1b[31m\n:smile:\xe9[bold]"
PRINTING = ("print", "rule", "status", "log")
ADDING = ("add_row", "add_task", "add_column")


def spoken(path):
    """Calls of a module that show text, each with the arguments that are text."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        name, owner = node.func.attr, ast.unparse(node.func.value)
        arguments = [*node.args, *(k.value for k in node.keywords if k.arg == "title")]
        if name in PRINTING and owner.endswith("console"):
            yield node, [a for a in arguments if not isinstance(a, ast.Name | ast.Call)]
        elif name in ADDING:
            fields = (k.value for k in node.keywords if k.arg == "description")
            texts = [a for a in (*arguments, *fields) if isinstance(a, ast.JoinedStr)]
            yield node, texts if name != "add_row" else []


def test_what_is_printed_goes_through_say_or_shown():
    found, bad = 0, []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node, texts in spoken(path):
            found += 1
            bad += [f"{path.name}:{node.lineno} {ast.unparse(text)}" for text in texts]
    assert found > 30
    assert bad == []


@pytest.mark.parametrize(
    ("where", "mark"),
    [
        ("", "rich.markup"),
        ("", "from_markup"),
        ("", 'TextColumn("{task.description}")'),
        ("workflows/", "console.print(f"),
    ],
)
def test_no_module_has_markup_read(where, mark):
    paths = sorted((PACKAGE / where).rglob("*.py"))
    assert [p.name for p in paths if mark in p.read_text()] == []


def run(capsys, *words):
    """Exit code and everything that a verb prints."""
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    for text in (out, err):
        text.encode()
        assert "\x1b" not in text and "\N{SMILING FACE WITH OPEN MOUTH}" not in text
    return code, out + err


@pytest.fixture
def evil(tmp_path):
    """A folder whose name a terminal would obey and rich would read."""
    folder = tmp_path / "h[" / "red]" / EVIL
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def bundle(evil):
    value = Bundle(scenes.SPEC, scenes.weights(), SiamFCTracking(lost_below=0.01), {})
    return save_bundle(value, evil / "bundle")


def write_otb(folder):
    """One sequence in OTB's layout, of an evil name."""
    images = folder / EVIL / "img"
    images.mkdir(parents=True)
    frames, boxes = scenes.video(3, velocity=(2.0, 0.0))
    for number, frame in enumerate(frames, start=1):
        _, data = cv2.imencode(".jpg", frame[..., ::-1])
        (images / f"{number:04d}.jpg").write_bytes(data.tobytes())
    rows = boxes - np.float32([0.5, 0.5, 0, 0]) * boxes[:, [2, 3, 2, 3]]
    lines = [",".join(f"{v:g}" for v in row + np.float32([1, 1, 0, 0])) for row in rows]
    (images.parent / "groundtruth_rect.txt").write_text("\n".join(lines) + "\n")
    return rows[0]


def test_a_bundle_of_any_name_is_described(bundle, capsys):
    code, text = run(capsys, "info", bundle)
    assert code == 0 and SHOWN in "".join(line.strip() for line in text.split("\n"))


def test_a_video_of_any_name_is_tracked_and_evaluated(evil, bundle, capsys):
    x, y, w, h = write_otb(evil)
    video, out = evil / EVIL / "img", evil / f"{EVIL}.txt"
    box = ("--box", f"{x},{y},{w},{h}")
    code, text = run(
        *(capsys, "track", "--tracker", bundle, "--video", video, *box, "--out", out)
    )
    assert code == 0 and f"{SHOWN}.txt: 3 frames." in text.splitlines()[-1]
    assert len(out.read_text().splitlines()) == 3
    results = evil / "mine" / f"{EVIL}.txt"
    results.parent.mkdir()
    results.write_text((evil / EVIL / "groundtruth_rect.txt").read_text())
    scores = evil / "scores.json"
    words = ("evaluate", "--dataset", f"otb:{evil}", "--json", scores)
    for more in (("--results", results.parent), ("--tracker", bundle)):
        code, text = run(capsys, *words, *more)
        assert code == 0 and f"{SHOWN}{os.sep}scores.json" in text.splitlines()[-1]


def test_a_data_set_of_any_name_is_verified_and_packed(evil, capsys):
    write_otb(evil)
    shutil.copytree(evil / EVIL / "img", evil / "b" / "img")
    report = evil / f"{EVIL}.json"
    code, text = run(capsys, "data", "verify", f"otb:{evil}", "--report", report)
    assert code == 2  # the folder b has no annotation
    lines = text.splitlines()
    assert SHOWN in lines[-1] and f"report: {evil.parent}{os.sep}{SHOWN}" in lines[-2]
    shutil.rmtree(evil / "b")
    (evil / "tiny.py").write_text(TINY)
    out = evil.parents[1] / TEXT
    words = ("data", "pack", f"otb:{evil}", "--config", evil / "tiny.py", "--out")
    code, text = run(capsys, *words, out)
    last = text.splitlines()[-1]
    assert code == 0 and SHOWN_TEXT in last
    # What is shown can be given to a shell.
    assert "--data.sources 'packed:" in last
    code, text = run(capsys, *words, evil / "p")
    assert (code, text.count("\n")) == (2, 1) and f"{SHOWN}{os.sep}p: its name" in text


@pytest.mark.optax
def test_a_workdir_of_any_name_is_trained_in(evil, capsys):
    small_packs.write_raw(evil.parents[1] / "raw")
    shutil.move(evil.parents[1] / "raw", evil / "raw")
    source = f"got10k:{evil / 'raw'}"
    (evil / "tiny.py").write_text(TINY)
    words = ("train", evil / "tiny.py", "--data.sources", source, "--workdir")
    code, text = run(capsys, *words, evil / "w")
    assert code == 0 and SHOWN in text.splitlines()[-2]
    # What was saved there is read again.
    shutil.rmtree(evil / "w" / "bundles")
    code, text = run(capsys, *words, evil / "w")
    assert code == 0 and SHOWN in text.splitlines()[-2]
    assert (evil / "w" / "bundles" / "student").is_dir()


def test_a_configuration_of_any_name_is_read(evil, capsys):
    path = evil / f"{EVIL}.py"
    path.write_text(TINY)
    code, text = run(capsys, "config", "show", path)
    assert code == 0 and "--data.batch 4" in text
    path.write_text("x = 1\ny = = 2\n")
    code, text = run(capsys, "config", "show", path)
    assert (code, text.count("\n")) == (2, 1)
    assert f"{SHOWN}.py: line 2: invalid syntax." in text


@pytest.mark.parametrize(
    "words",
    [
        ("info", EVIL),
        (EVIL, "--video"),
        ("train", EVIL, "--workdir", "w"),
        ("train", "demo_teacher", "--workdir", "w", f"--{EVIL}", "1"),
        ("train", "demo_teacher", "--workdir", "w", f"--data.{EVIL}", "1"),
        ("train", "demo_teacher", "--workdir", "w", "--data.batch", EVIL),
        ("train", "demo_teacher", "--workdir", "w", "--data.sources", f"otb:{EVIL}"),
        ("train", "demo_teacher", "--workdir", "w", "--student", f"{EVIL}={EVIL}"),
        ("train", "demo_teacher", "--workdir", "w", "--init", f"{EVIL}"),
        ("distill", "demo_students", "--teacher", EVIL, "--workdir", "w"),
        ("search", "demo_students", "--teacher", EVIL, "--workdir", "w"),
        ("ablate", "demo_students", "--workdir", "w", "--rows", EVIL),
        ("convert", "--source", "siamfc-pytorch", EVIL, "out"),
        ("convert", "--source", EVIL, "x", "out"),
        ("track", "--tracker", EVIL, "--video", "v", "--box", "1,2,3,4", "--out", "o"),
        ("track", "--tracker", "T", "--video", "v", "--box", EVIL, "--out", "o.txt"),
        ("evaluate", "--dataset", f"otb:{EVIL}", "--results", EVIL),
        ("evaluate", "--dataset", EVIL, "--results", EVIL),
        ("data", "verify", f"folder:{EVIL}"),
        ("data", "pack", f"folder:{EVIL}", "--out", "p", "--config", "demo_teacher"),
        ("config", "show", EVIL),
    ],
)
def test_a_bad_word_is_refused_in_one_harmless_line(
    words, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    code, text = run(capsys, *words)
    assert (code, text.count("\n")) == (2, 1), text
    assert text.startswith("dst-jax: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.optax
def test_the_home_folder_is_meant_wherever_a_path_is_taken(
    tmp_path, monkeypatch, capsys
):
    home = tmp_path / "home"
    home.mkdir()
    small_packs.write_raw(home / "raw")
    (home / "tiny.py").write_text(TINY)
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path / "here")
    bundle, video = "~/w/bundles/student", "~/raw/000000"
    for line in (
        "train ~/tiny.py --workdir ~/w --data.sources got10k:~/raw",
        f"train ~/tiny.py --workdir ~/v --data.sources got10k:~/raw --init {bundle}",
        "config show ~/tiny.py",
        f"info {bundle}",
        "data verify got10k:~/raw --report ~/r.json",
        "data pack got10k:~/raw --out ~/p --config ~/tiny.py",
        "data verify packed:~/p",
        f"track --tracker {bundle} --video {video} --box 9,9,20,20 --out ~/new/t.txt",
        f"evaluate --dataset got10k:~/raw --tracker {bundle} --results-out ~/res",
        "evaluate --dataset got10k:~/raw --results ~/res/student --json ~/s.json",
    ):
        code, text = run(capsys, *line.split())
        assert code == 0, text
    made = {path.name for path in home.iterdir()}
    assert made == {
        *("raw", "tiny.py", "w", "v", "r.json", "p", "new", "res", "s.json")
    }
    assert list((tmp_path / "here").iterdir()) == []
