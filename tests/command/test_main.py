"""The command line: one line and exit code 2 for bad input, help that teaches."""

import subprocess
import sys

import numpy as np
import pytest

from dst_jax.command.main import main

TEACHER, OUT = ("--teacher", "T"), ("--out", "o.txt")
ORIGIN = ("--results-origin", "1")
VERBS = (
    "demo",
    "train",
    "distill",
    "search",
    "ablate",
    "convert",
    "track",
    "evaluate",
    "data",
    "info",
    "config",
    "export-run",
)


def run(capsys, *arguments):
    """Exit code, standard output, standard error."""
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_help_lists_every_verb(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for verb in VERBS:
        assert verb in out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(capsys, verb):
    code, out, _ = run(capsys, verb, "--help")
    assert code == 0
    assert len(out.splitlines()) > 5


def test_help_is_quick_for_it_imports_no_array_library():
    code = (
        "import sys\n"
        "from dst_jax.command.main import main\n"
        "try: main(['distill', 'demo_students', '--help'])\n"
        "except SystemExit: pass\n"
        "print({'jax', 'flax', 'numpy', 'tensorflow'} & set(sys.modules))\n"
    )
    run = [sys.executable, "-c", code]
    out = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "set()"


def test_info_prints_layers_and_published_size(capsys):
    code, out, _ = run(capsys, "info", "siamfc-alexnet")
    assert code == 0
    assert "2,336,320" in out
    assert "9.354 MB" in out
    assert "17 x 17" in out


@pytest.mark.parametrize("name", ["siamrpnpp-r50", "siamrpnpp-big-wide"])
def test_info_shows_stages_and_levels_within_80_columns(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = run(capsys, "info", name)
    assert code == 0
    assert "…" not in out  # the table has room for all
    rows = {line[:15].strip(): line[15:].split() for line in out.splitlines()}
    # Blocks, stride, dilation, channels, sides, parameters, M MACs.
    assert rows["layer3"][:6] == ["6x1-3-1", "1", "d2", "1024", "15", "31"]
    assert rows["layer4 adjust"][:2] == ["15", "31"]
    assert rows["layer4 cls"][:2] == ["5", "25"]
    assert rows["fusion"] == ["25", "6", "0.0"]
    size = {"siamrpnpp-r50": "53,950,624 = 215.802 MB"}
    assert size.get(name, "168,871,072 = 675.484 MB") in out
    assert "25 x 25 in tracking, 25 x 25 in training, stride 8 px" in out


def test_info_says_that_the_widths_of_dlfs_students_are_a_fit(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = run(capsys, "info", "siamdw-l")
    assert code == 0 and "354,033" in out
    (layer2,) = (line.split() for line in out.splitlines() if " layer2 " in line)
    # Blocks, stride, channels and sides.
    assert layer2[1:6] == ["4x1-3-1", "2", "248", "5", "21"]
    said = "DLF did not publish its students' widths"
    assert said in out
    assert said not in run(capsys, "info", "siamdw")[1]


def test_config_list_and_show(capsys):
    _, out, _ = run(capsys, "config", "list")
    assert "demo_students" in out
    code, out, _ = run(capsys, "config", "show", "demo_students")
    assert code == 0
    assert "--distill.str.weight 100.0" in out
    assert "student dull" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("info", "nothing"), "no architecture 'nothing'"),
        (("config", "show", "nothing"), "CONFIG 'nothing'"),
        (("info", "tiny", "--loud"), "--loud: unknown; see dst-jax info --help."),
        (("info", "tiny", "loose"), "'loose': unexpected; see dst-jax info --help."),
        (
            ("evaluate", "--dataset", "otb:D", "--result", "R"),
            "--result: unknown; did you mean --results?",
        ),
        (
            ("train", "demo_teacher", "--workdir", "W", "--skip-bda"),
            "--skip-bda: unknown; did you mean --skip-bad?",
        ),
        (
            ("train", "--data.batch", "4", "demo_teacher", "--workdir", "W"),
            "missing: CONFIG, before options that are not dst-jax train's own; see",
        ),
        (("data", "verify", "got10k:gone"), "folder gone does not exist"),
        (("data", "verify", "gone"), "write LAYOUT:DIR"),
        (("evaluate", "--dataset", "otb:D"), "either --tracker"),
        (
            ("evaluate", "--dataset", "otb:D", "--results", "R", "--protocol", "lsot"),
            "protocol 'lsot': unknown (did you mean lasot?); the protocols are otb, ",
        ),
        (
            ("evaluate", "--dataset", "otb:D", "--results", "R", "--submit", "a.zip"),
            "--submit: no server takes boxes of otb; it is for trackingnet:DIR",
        ),
        (
            ("evaluate", "--dataset", "otb:D", "--tracker", "T", *ORIGIN),
            "--results-origin is for --results",
        ),
        (
            ("train", "demo_teacher", "--workdir", "W", "--data.bath", "4"),
            "did you mean --data.batch",
        ),
        (
            ("train", "demo_teacher", "--workdir", "W", "--data.batch", "many"),
            "--data.batch many: expected INT.",
        ),
        (
            ("train", "demo_teacher", "--workdir", "W", "--data.sources", "got10k:no"),
            "no",
        ),
        (
            ("distill", "demo_students", *TEACHER, "--workdir", "W"),
            "T: no such bundle",
        ),
        (
            ("distill", "demo_students", *TEACHER, "--workdir", "W", "--row", "XY"),
            "row 'XY'",
        ),
        (
            ("ablate", "demo_students", "--workdir", "W", "--rows", "GT", "XY"),
            "--rows XY: there is GT, TS, GT+TS, AH+TS, TS+STR, GT+TS+STR, AH+TS+STR, "
            'NOKD, TSKD, TSsKD; and of Table 6 teacher, "STUDENT w/o", "STUDENT with".',
        ),
        (
            ("ablate", "demo_students", "--workdir", "W", "--rows", "NOKD", "TS"),
            "row TS needs a teacher; give its bundle with --teacher.",
        ),
        (
            ("ablate", "demo_students", "--workdir", "W", "--tables", "3"),
            "--tables 3: there are 4, 5, 6, dlf and loretrack.",
        ),
        (
            ("ablate", "demo_students", "--workdir", "W", "--students", "1", "13"),
            "--students 13: from 1 to 12.",
        ),
        (
            ("convert", "--source", "siamfc-pytorch", "gone.pth", "OUT"),
            "gone.pth: no such file",
        ),
        (("convert", "--source", "other", "gone.pth", "OUT"), "--source other"),
        (
            ("track", "--tracker", "T", "--video", "V", "--box", "1,2", *OUT),
            "--box",
        ),
        (
            ("track", "--video", "V", *OUT),
            "missing: --tracker BUNDLE; see dst-jax track --help.",
        ),
        (
            ("track", "--tracker", "T", "--video", "V", *OUT),
            "missing: --box X,Y,W,H; see dst-jax track --help.",
        ),
        (
            ("track", "--vidoe", "V", "--box", "1,2,3,4", "--tracker", "T", *OUT),
            "--vidoe: unknown; did you mean --video?",
        ),
        (("track", "--tracker"), "--tracker: expected BUNDLE."),
        (("info",), "missing: NAME; see dst-jax info --help."),
        (("demo", "--workdir", "W", "--seed", "x"), "--seed x: expected INT."),
        (("trak", "--video", "V"), "dst-jax: trak: expected one of demo, train, "),
        (("config",), "config: expected one of show, list; see dst-jax --help."),
    ],
)
def test_bad_input_gets_one_line_and_exit_code_2(
    capsys, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1, err
    assert list(tmp_path.iterdir()) == []


def test_a_missing_option_is_told_alone_whatever_the_fields(capsys):
    for field in ("--data.sources", "--data.suorces"):
        words = ("distill", "demo_students", "--workdir", "W", field, "X", "Y")
        code, _, err = run(capsys, *words)
        told = "dst-jax: missing: --teacher BUNDLE; see dst-jax distill --help.\n"
        assert (code, err) == (2, told)


def test_help_of_a_verb_says_where_its_fields_are_explained(capsys):
    for verb in ("train", "distill", "search", "ablate"):
        code, out, _ = run(capsys, verb, "demo_students", "--help")
        assert code == 0
        assert "dst-jax config show CONFIG" in " ".join(out.split())
        assert "--skip-bad" in out


@pytest.mark.parametrize("given", [["--skip-bad"], ["--data.skip-bad"], []])
def test_options_of_the_verb_reach_the_experiment(given, monkeypatch):
    from dst_jax.workflows import train

    seen = []
    monkeypatch.setattr(train, "run_training", lambda *a, **k: seen.append((a, k)))
    monkeypatch.setattr(train, "print_trained", lambda *a: None)
    words = ["train", *given[:1], "demo_students", "--workdir", "W", "--seed", "7"]
    if given == ["--data.skip-bad"]:
        words = [word for word in words if word not in given] + given
    words += ["--student", "dull=tiny-siamrpn", "--tracking.lost_below", "0.25"]
    assert main([*words, "--data.batch=4"]) == 0
    ((experiment, workdir), named) = seen[0]
    assert experiment.data.skip_bad == bool(given)
    assert (experiment.seed, experiment.data.batch) == (7, 4)
    # The student's family has its own fields.
    assert type(experiment.tracking).__name__ == "SiamRPNTracking"
    assert experiment.tracking.lost_below == 0.25
    assert (str(workdir), named["verb"]) == ("W", "dst-jax train")


def test_scoring_result_files_needs_no_frames(capsys, tmp_path):
    truth = np.array([[11, 21, 30, 40], [13, 21, 30, 40], [15, 22, 30, 40]])
    for name in ("one", "two"):
        folder = tmp_path / "otb" / name
        folder.mkdir(parents=True)
        np.savetxt(folder / "groundtruth_rect.txt", truth, fmt="%d", delimiter=",")
        results = tmp_path / "mine"
        results.mkdir(exist_ok=True)
        np.savetxt(results / f"{name}.txt", truth, fmt="%d", delimiter="\t")
    code, _, err = run(
        capsys,
        *("evaluate", "--dataset", f"otb:{tmp_path / 'otb'}"),
        *("--results", str(tmp_path / "mine"), "--json", str(tmp_path / "s.json")),
    )
    assert code == 0, err
    import json

    scores = json.loads((tmp_path / "s.json").read_text())["trackers"]["mine"]
    assert scores["success_auc"] == pytest.approx(20 / 21)  # IoU > 1 never holds
    assert scores["precision_20"] == 1.0
    assert set(scores["sequences"]) == {"one", "two"}


def test_a_time_limit_is_checked_at_once_and_ends_with_its_own_code(
    capsys, monkeypatch, tmp_path
):
    words = ("train", "demo_teacher", "--workdir", str(tmp_path / "w"))
    code, _, err = run(capsys, *words, "--time-limit", "soon")
    assert code == 2
    assert err == (
        "dst-jax: --time-limit soon: give a time as 90s, 170m, 2h or 1h30m.\n"
    )
    from dst_jax.train import TimeUp
    from dst_jax.workflows import train

    def ended(*_, deadline, **__):
        assert 5390.0 < deadline.left() <= 5400.0
        raise TimeUp("at step 3 of 9, which is saved")

    monkeypatch.setattr(train, "run_training", ended)
    code, _, err = run(capsys, *words, "--time-limit", "1h30m")
    assert code == 75
    assert err == (
        "dst-jax: the time limit ends the run at step 3 of 9, which is saved; "
        "run again to go on\n"
    )


def test_a_folder_without_checkpoints_is_not_exported(capsys, tmp_path):
    code, _, err = run(capsys, "export-run", str(tmp_path))
    assert code == 2 and "holds no checkpoint of a training to export" in err
