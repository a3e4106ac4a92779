"""Which protocol a data set is scored by, and the files that an evaluation writes."""

import io
import json
import zipfile

import pytest
from rich.console import Console

from dst_jax.data.readers import read_sequences
from dst_jax.errors import InputError
from dst_jax.workflows.evaluate import evaluate_results, evaluate_trackers
from dst_jax.workflows.publishing import Outputs
from tests.data.readers.trees import write_frames, write_rows
from tests.workflows.bundles import save_tiny

ROWS = [(5, 7, 10, 20), (6, 8, 10, 20), (7, 8, 10, 20), (8, 9, 10, 20)]
NAMES = ("Ant", "Bee")


def write_lasot(root, *, marked=True, rows=ROWS):
    for name in NAMES:
        write_rows(root / name / "groundtruth.txt", rows)
        if marked:
            (root / name / "out_of_view.txt").write_text("0,0,1,0")
            (root / name / "full_occlusion.txt").write_text("0,0,0,0")
    return f"lasot:{root}"


def write_results(folder, rows=ROWS):
    for name in NAMES:
        write_rows(folder / f"{name}.txt", rows)
    return folder


def shown(dataset, results, **options):
    console = Console(file=io.StringIO(), width=200)
    found = evaluate_results(dataset, results, console=console, **options)
    return found, console.file.getvalue()


def test_the_table_and_the_json_name_the_protocol_and_its_numbers(tmp_path):
    data, mine = write_lasot(tmp_path / "d"), write_results(tmp_path / "mine")
    file = tmp_path / "scores.json"
    _, text = shown(data, mine, outputs=Outputs(json=file))
    assert "by lasot/pysot" in text
    heading = next(line for line in text.splitlines() if "tracker" in line)
    assert [*filter(None, heading.split(" "))][1:-1:2] == [
        "tracker",
        "AUC",
        "Pnorm@.2",
        "P@20",
        "OP.5",
    ]
    assert "2 frames of Ant, Bee have no visible target: they count as missed." in text
    written = json.loads(file.read_text())
    assert written["protocol"]["name"] == "lasot/pysot"
    assert written["protocol"]["reproduces"] == "pysot toolkit, OPEBenchmark"
    # Three of four frames; the box states the truth.
    assert written["trackers"]["mine"]["success_auc"] == pytest.approx(3 / 4 * 20 / 21)
    assert written["trackers"]["mine"]["norm_precision_20"] == 3 / 4


def test_another_protocol_can_be_named(tmp_path):
    data, mine = write_lasot(tmp_path / "d"), write_results(tmp_path / "mine")
    found, text = shown(data, mine, protocol="lasot/got10k")
    assert "by lasot/got10k" in text
    assert found.scores["mine"].values["success_auc"] == pytest.approx(20 / 21)


def test_what_the_data_set_cannot_serve_is_refused_and_not_the_default(tmp_path):
    data = write_lasot(tmp_path / "d", marked=False)
    mine = write_results(tmp_path / "mine")
    with pytest.raises(InputError) as caught:
        evaluate_results(data, mine, protocol="lasot/pytracking")
    assert str(caught.value) == (
        "protocol lasot/pytracking: needs marks of the frames whose target is absent "
        f"or wholly covered, which {data} does not state; add them, or choose another "
        "protocol, such as otb/got10k."
    )
    found, text = shown(data, mine)
    assert found.scores["mine"].protocol.name == "otb/got10k"
    assert "By otb/got10k, since lasot/pysot needs marks of the frames whose" in text


def test_boxes_are_not_clipped_to_an_image_of_unknown_size(tmp_path):
    data, mine = write_lasot(tmp_path / "d"), write_results(tmp_path / "mine")
    message = (
        rf"protocol got10k/got10k: clips boxes to the image, and without its frames "
        rf"{data} does not state the size: frame folder .*Ant/img does not exist"
    )
    with pytest.raises(InputError, match=message):
        evaluate_results(data, mine, protocol="got10k")
    for name in NAMES:
        write_frames(tmp_path / "d" / name / "img", (1, 2, 3, 4))
    (score,) = evaluate_results(data, mine, protocol="got10k").scores.values()
    assert score.values["average_overlap"] == 1.0


def test_boxes_without_area_are_told_as_the_protocol_takes_them(tmp_path):
    data = write_lasot(tmp_path / "d")
    mine = write_results(tmp_path / "mine", [*ROWS[:1], (6, 8, 0, 20), *ROWS[2:]])
    _, text = shown(data, mine)
    assert "mine: 2 of its boxes have no area and so overlap nothing." in text
    _, text = shown(data, mine, protocol="lasot/pytracking")
    assert "2 of its boxes have no area and so count as the box before them." in text


def test_an_unknown_protocol_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(InputError, match="protocol 'x': unknown"):
        evaluate_results("otb:nowhere", tmp_path, protocol="x")
    with pytest.raises(InputError, match="protocol 'otb/x': unknown"):
        evaluate_trackers("otb:nowhere", [tmp_path], protocol="otb/x")


def write_got10k_test(root):
    """Two sequences of GOT-10k's test set: first boxes alone, and frames."""
    for name in NAMES:
        write_frames(root / "test" / name, (1, 2, 3, 4))
        write_rows(root / "test" / name / "groundtruth.txt", ROWS[:1])
    (root / "test" / "list.txt").write_text("\n".join(NAMES) + "\n")
    return f"got10k:{root / 'test'}"


def write_trackingnet_test(root):
    for name in NAMES:
        write_frames(root / "TEST" / "frames" / name, (0, 1, 2, 3), digits=1)
        write_rows(root / "TEST" / "anno" / f"{name}.txt", ROWS[:1])
    return f"trackingnet:{root}"


def test_got10ks_test_set_is_read_with_its_first_boxes(tmp_path):
    for sequence in read_sequences(write_got10k_test(tmp_path)):
        assert sequence.visible.tolist() == [True, False, False, False]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("bundles") / "mine")


def entries(path):
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_a_trackers_boxes_of_a_hidden_set_become_an_archive_for_its_server(
    tmp_path, bundle
):
    data = write_got10k_test(tmp_path / "d")
    place = tmp_path / "new" / "got.zip"
    console = Console(file=io.StringIO(), width=200)
    outputs = Outputs(submission=place)
    found = evaluate_trackers(data, [bundle], outputs=outputs, console=console)
    assert found.scores == {}
    text = console.file.getvalue()
    assert "Only first frames have a true box" in text and f"wrote {place}" in text
    files = entries(place)
    assert sorted(files) == sorted(
        f"{name}/{name}_{part}.txt" for name in NAMES for part in ("001", "time")
    )
    boxes, seconds = files["Ant/Ant_001.txt"], files["Ant/Ant_time.txt"]
    assert boxes.splitlines()[0] == "5.0000,7.0000,10.0000,20.0000"
    assert len(boxes.splitlines()) == len(seconds.splitlines()) == 4
    assert all(float(line) > 0.0 for line in seconds.splitlines())


def test_trackingnets_archive_has_a_file_per_video(tmp_path, bundle):
    data = write_trackingnet_test(tmp_path / "d")
    place = tmp_path / "net.zip"
    evaluate_trackers(data, [bundle], outputs=Outputs(submission=place))
    files = entries(place)
    assert sorted(files) == ["Ant.txt", "Bee.txt"]
    assert files["Ant.txt"].splitlines()[0] == "5.0000,7.0000,10.0000,20.0000"
    assert len(files["Ant.txt"].splitlines()) == 4


@pytest.mark.parametrize("write", [write_got10k_test, write_trackingnet_test])
def test_result_files_of_a_hidden_set_become_an_archive(tmp_path, write):
    data, mine = write(tmp_path / "d"), write_results(tmp_path / "mine")
    place = tmp_path / "a.zip"
    evaluation = evaluate_results(data, mine, outputs=Outputs(submission=place))
    assert evaluation.scores == {}
    assert any("Bee" in name for name in entries(place))


def test_result_files_become_the_same_archive_whenever_it_is_made(tmp_path):
    (tmp_path / "d" / "TRAIN_0" / "anno").mkdir(parents=True)
    for name in NAMES:
        write_rows(tmp_path / "d" / "TRAIN_0" / "anno" / f"{name}.txt", ROWS)
    data, mine = f"trackingnet:{tmp_path / 'd'}", write_results(tmp_path / "mine")
    for place in ("a.zip", "b.zip"):
        evaluate_results(data, mine, outputs=Outputs(submission=tmp_path / place))
    first, second = ((tmp_path / n).read_bytes() for n in ("a.zip", "b.zip"))
    assert first == second
    lines = entries(tmp_path / "a.zip")["Bee.txt"].splitlines()
    assert [tuple(map(float, line.split(","))) for line in lines] == ROWS


@pytest.mark.parametrize(
    ("dataset", "name", "message"),
    [
        ("otb:x", "a.zip", "--submit: no server takes boxes of otb; it is for tracki"),
        ("got10k:x", "a.tar", r"--submit .*a\.tar: must end in \.zip\."),
        ("got10k:x", "file/a.zip", "is no folder"),
    ],
)
def test_an_archive_that_cannot_be_is_refused_before_the_data_is_read(
    tmp_path, dataset, name, message
):
    (tmp_path / "file").write_text("")
    outputs = Outputs(submission=tmp_path / name)
    with pytest.raises(InputError, match=message):
        evaluate_results(dataset, tmp_path, outputs=outputs)


def test_an_archive_holds_one_tracker(tmp_path):
    outputs = Outputs(submission=tmp_path / "a.zip")
    bundles = [tmp_path / "a", tmp_path / "b"]
    with pytest.raises(InputError, match="2 trackers; an archive holds one"):
        evaluate_trackers("got10k:x", bundles, outputs=outputs)


def test_an_archive_that_fails_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "d" / "TRAIN_0" / "anno").mkdir(parents=True)
    for name in NAMES:
        write_rows(tmp_path / "d" / "TRAIN_0" / "anno" / f"{name}.txt", ROWS)
    mine = write_results(tmp_path / "mine")
    before = sorted(tmp_path.iterdir())

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    outputs = Outputs(submission=tmp_path / "a.zip")
    with pytest.raises(OSError, match="No space left"):
        evaluate_results(f"trackingnet:{tmp_path / 'd'}", mine, outputs=outputs)
    assert sorted(tmp_path.iterdir()) == before


def test_plots_of_every_curve_of_the_protocol_are_written(tmp_path):
    data, mine = write_lasot(tmp_path / "d"), write_results(tmp_path / "mine")
    for name in NAMES:
        (mine / f"{name}_time.txt").write_text("0.02\n" * 4)
    evaluate_results(data, mine, outputs=Outputs(plots=tmp_path / "plots"))
    names = ("norm_precision", "precision", "speed", "success")
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == sorted(
        f"{name}.{suffix}" for name in names for suffix in ("png", "svg")
    )
    with pytest.raises(InputError, match=r"--plots .*: already holds something"):
        evaluate_results(data, mine, outputs=Outputs(plots=tmp_path / "plots"))
