"""What an evaluation writes: reruns, places that cannot be written, odd names."""

import io
import json
import re

import numpy as np
import pytest
from rich.console import Console

from dst_jax import files
from dst_jax.bundle import load_bundle
from dst_jax.command.main import main
from dst_jax.errors import InputError
from dst_jax.evaluate.result_folders import find_results
from dst_jax.evaluate.results import read_results
from dst_jax.track import Tracker, TrackResult
from dst_jax.workflows import evaluate, evaluation, publishing, runner, tracker_runs
from dst_jax.workflows.evaluate import evaluate_results, evaluate_trackers
from dst_jax.workflows.evaluation import run_tracker
from dst_jax.workflows.publishing import Outputs
from tests.data.readers.trees import write_frames, write_rows
from tests.workflows.bundles import save_tiny

ROWS = [(5, 7, 10, 20), (6, 8, 10, 20), (7, 8, 10, 20)]
NAMES = ("Ant", "Bee")


@pytest.fixture
def data(tmp_path):
    for name in NAMES:
        write_frames(tmp_path / "otb" / name / "img", (1, 2, 3))
        write_rows(tmp_path / "otb" / name / "groundtruth_rect.txt", ROWS)
    return f"otb:{tmp_path / 'otb'}"


@pytest.fixture
def mine(tmp_path):
    return save_tiny(tmp_path / "mine")


class Drifts(Tracker):
    """Moves by a third of a pixel a frame, and counts its calls."""

    calls, lengths, stops_at = 0, [], None

    def track_each(self, videos, boxes, *, batch=None, tracked=None):
        Drifts.calls += 1
        for number, (video, box) in enumerate(zip(videos, boxes, strict=True)):
            if number == Drifts.stops_at and tracked is not None:
                raise KeyboardInterrupt
            try:
                count = len(list(video))
            except InputError as error:
                yield number, error
                continue
            steps = np.arange(count)[:, None] / np.float32([[3, 3, 7, 7]])
            rows = (box + steps).astype(np.float32)
            if tracked is not None:  # this is no warm-up
                Drifts.lengths.append(count)
                tracked(count)
            yield number, TrackResult(rows, np.ones(count, np.float32), None)


@pytest.fixture(autouse=True)
def nothing_is_compiled(monkeypatch):
    def make(spec, variables, *, tracking):
        return Drifts(spec, variables, tracking)

    Drifts.calls, Drifts.lengths, Drifts.stops_at = 0, [], None
    monkeypatch.setattr(evaluation, "make_tracker", make)


def shown_by(work, *arguments, **options):
    console = Console(file=io.StringIO(), width=300)
    try:
        work(*arguments, console=console, **options)
    finally:
        shown = console.file.getvalue()
    return shown


def test_a_rerun_takes_up_what_was_kept_and_says_the_same(tmp_path, data, mine):
    out, first, second = tmp_path / "out", tmp_path / "1.json", tmp_path / "2.json"
    evaluate_trackers(data, [mine], results_out=out, outputs=Outputs(json=first))
    calls = Drifts.calls
    (out / ".tmp-0123abcd-mine").mkdir()  # as a kill leaves it
    (tmp_path / ".tmp-0123abcd-2.json").write_text("{")
    evaluate_trackers(data, [mine], results_out=out, outputs=Outputs(json=second))
    assert Drifts.calls == calls
    assert second.read_bytes() == first.read_bytes()
    assert [path.name for path in out.iterdir()] == ["mine"]
    assert not list(tmp_path.glob(".tmp-*"))
    kept = json.loads((out / "mine" / "evaluation.json").read_text())
    assert sorted(kept["sequences"]) == list(NAMES)


def test_a_tracker_that_was_not_finished_is_run_beside_one_that_was(
    tmp_path, data, mine
):
    other = save_tiny(tmp_path / "other", seed=1)
    evaluate_trackers(data, [mine], results_out=tmp_path / "out")
    calls = Drifts.calls
    found = evaluate_trackers(data, [mine, other], results_out=tmp_path / "out")
    assert list(found.scores) == ["mine", "other"]
    assert Drifts.calls == 2 * calls


def test_a_run_that_was_stopped_goes_on_with_the_videos_that_are_missing(
    tmp_path, data, mine
):
    out, Drifts.stops_at = tmp_path / "out", 1
    with pytest.raises(KeyboardInterrupt, match=r"out/mine has 1 of 2 videos, and the"):
        evaluate_trackers(data, [mine], results_out=out)
    assert sorted(path.name for path in (out / "mine").iterdir()) == [
        *("Ant.txt", "evaluation.json")
    ]
    Drifts.stops_at, Drifts.lengths = None, []
    found = evaluate_trackers(data, [mine], results_out=out)
    assert Drifts.lengths == [3]  # Bee alone
    whole = evaluate_trackers(data, [mine], results_out=tmp_path / "whole")
    assert found.scores["mine"].values == whole.scores["mine"].values
    for name in NAMES:
        text = (out / "mine" / f"{name}.txt").read_text()
        assert text == (tmp_path / "whole" / "mine" / f"{name}.txt").read_text()
    assert found.paces["mine"].frames == 6


def test_a_bad_video_is_told_at_the_end_and_the_others_are_scored(tmp_path, data, mine):
    other = save_tiny(tmp_path / "other", seed=1)
    frame = tmp_path / "otb" / "Ant" / "img" / "00000003.jpg"
    sound = frame.read_bytes()
    frame.write_bytes(sound[: len(sound) // 2])
    out, report = tmp_path / "out", tmp_path / "scores.json"
    console = Console(file=io.StringIO(), width=300)
    with pytest.raises(InputError) as told:
        evaluate_trackers(
            data,
            [mine, other],
            results_out=out,
            outputs=Outputs(json=report),
            console=console,
        )
    line = str(told.value)
    assert line.startswith("1 of 2 videos cannot be used: frame ")
    assert "00000003.jpg" in line and "\n" not in line
    assert Drifts.lengths == [3, 3]  # Bee of both trackers
    remark = "Without 1 of 2 videos, which cannot be used: Ant."
    assert remark in console.file.getvalue()
    written = json.loads(report.read_text())
    assert remark in written["notes"]
    assert list(written["trackers"]["other"]["sequences"]) == ["Bee"]
    # Once the frame is mended the same command does what is missing.
    frame.write_bytes(sound)
    Drifts.lengths = []
    found = evaluate_trackers(data, [mine, other], results_out=out)
    assert Drifts.lengths == [3, 3]  # Ant of both
    assert list(found.scores["mine"].sequences) == list(NAMES)


def test_a_video_that_begins_without_a_target_leaves_the_others_be(
    tmp_path, data, mine
):
    rows = [(0, 0, 0, 0), *ROWS[1:]]
    write_rows(tmp_path / "otb" / "Ant" / "groundtruth_rect.txt", rows)
    with pytest.raises(InputError, match=r"1 of 2 videos .* 'Ant' has .* first frame"):
        evaluate_trackers(data, [mine], results_out=tmp_path / "out")
    assert (tmp_path / "out" / "mine" / "Bee.txt").is_file()
    for name in NAMES:
        write_rows(tmp_path / "otb" / name / "groundtruth_rect.txt", rows)
    with pytest.raises(InputError, match="2 of 2 videos cannot be used"):
        evaluate_trackers(data, [mine])


def test_lengths_from_one_frame_on_and_absent_targets_are_scored_right(tmp_path, mine):
    for name, count, absent in (("One", 1, ()), ("Two", 2, (1,)), ("Ten", 10, (3, 9))):
        write_frames(tmp_path / "d" / name / "img", range(1, count + 1), size=(30, 80))
        # As `Drifts` moves, so that it is right wherever the target can be seen.
        rows = [
            (5 + t / 3 - t / 14, 7 + t / 3 - t / 14, 10 + t / 7, 20 + t / 7)
            for t in range(count)
        ]
        rows = [("nan",) * 4 if t in absent else row for t, row in enumerate(rows)]
        write_rows(tmp_path / "d" / name / "groundtruth_rect.txt", rows)
    found = evaluate_trackers(f"otb:{tmp_path / 'd'}", [mine], batch=2)
    score = found.scores["mine"]
    assert sorted(Drifts.lengths) == [1, 2, 10]
    for name, counted in (("One", 1), ("Two", 1), ("Ten", 8)):
        part = score.sequences[name]
        assert part.values["success_auc"] == pytest.approx(20 / 21), name
        assert (part.frames, part.values["precision_20"]) == (counted, 1.0)
    assert found.paces["mine"].frames == 13


def test_frames_are_decoded_ahead_by_number_and_by_bytes():
    ahead = {size: runner._frames_ahead(size) for size in [(240, 360), (2160, 3840)]}
    assert ahead == {(240, 360): 16, (2160, 3840): 2}
    assert runner._frames_ahead((7680, 7680)) == 1


def test_the_command_ends_with_2_and_the_list_where_a_video_is_bad(
    tmp_path, data, mine, capfd
):
    for name in NAMES:
        frame = tmp_path / "otb" / name / "img" / "00000002.jpg"
        frame.write_bytes(frame.read_bytes()[:200])
    write_frames(tmp_path / "otb" / "Cow" / "img", (1, 2, 3))
    write_rows(tmp_path / "otb" / "Cow" / "groundtruth_rect.txt", ROWS)
    assert main(["evaluate", "--dataset", data, "--tracker", f"one={mine}"]) == 2
    out, err = capfd.readouterr()
    assert "one" in out and "frames/s" in out
    (line,) = (part for part in err.splitlines() if "cannot be used" in part)
    assert "2 of 3 videos" in line and "Ant/img" in line and "Bee/img" in line


def test_speeds_are_told_with_their_conditions(tmp_path, data, mine, monkeypatch):
    stages = {"network": 400.0, "crops": 300.0, "decoding": 100.0}
    monkeypatch.setattr(
        evaluate, "measure_speeds", lambda given, video: dict.fromkeys(given, stages)
    )
    report, page = tmp_path / "scores.json", tmp_path / "page.html"
    outputs = Outputs(json=report, html=page)
    options = {"batch": 3, "speeds": True, "outputs": outputs}
    shown = shown_by(evaluate_trackers, data, [mine], **options)
    row = next(line for line in shown.splitlines() if "400.0" in line)
    assert ["400.0", "300.0", "100.0"] == re.findall(r"[\d.]+", row)[:3]
    for text in (shown, page.read_text()):
        assert re.search(
            r"all videos, 3 at a time, on cpu \(\d+ cores?\), float32, \w+ kernels; "
            r"compiled before, in \d+\.\d s \(mine\)",
            text,
        )
    cells = r"crop \+ network.*one video.*>400\.0<.*>300\.0<.*>100\.0<"
    assert re.search(cells, page.read_text(), re.DOTALL)
    speed = json.loads(report.read_text())["trackers"]["mine"]["speed"]
    assert speed["frames"] == 6 and speed["total"] > 0.0
    assert {*stages.items(), ("batch", 3), ("precision", "float32")} <= {*speed.items()}
    assert {"device", "kernels", "compile_s"} <= {*speed}
    with pytest.raises(InputError, match="--batch 0: must be from 1"):
        evaluate_trackers(data, [mine], batch=0)


def change_tracker(tmp_path):
    save_tiny(tmp_path / "mine", seed=1)


def change_truth(tmp_path):
    write_rows(tmp_path / "otb" / "Bee" / "groundtruth_rect.txt", ROWS[::-1])


def change_frame(tmp_path):
    write_frames(tmp_path / "otb" / "Bee" / "img", (2,), size=(40, 60), suffix=".png")
    (tmp_path / "otb" / "Bee" / "img" / "00000002.jpg").unlink()


def change_boxes(tmp_path):
    write_rows(tmp_path / "out" / "mine" / "Bee.txt", ROWS)


def lose_boxes(tmp_path):
    (tmp_path / "out" / "mine" / "Ant.txt").unlink()


def break_record(tmp_path):
    (tmp_path / "out" / "mine" / "evaluation.json").write_text("[]")


def lose_record(tmp_path):
    (tmp_path / "out" / "mine" / "evaluation.json").unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_tracker, "holds boxes of another tracker"),
        (change_truth, "holds boxes of other data"),
        (change_frame, "holds boxes of other data"),
        (change_boxes, r"Bee\.txt is not as it was written"),
        (lose_boxes, r"Ant\.txt is not as it was written"),
        (break_record, r"evaluation\.json: expected a JSON object"),
        (lose_record, "already holds something"),
    ],
)
def test_boxes_that_are_not_provably_its_own_are_refused_before_any_tracking(
    tmp_path, data, mine, change, message
):
    evaluate_trackers(data, [mine], results_out=tmp_path / "out")
    calls = Drifts.calls
    change(tmp_path)
    with pytest.raises(InputError, match=message):
        evaluate_trackers(data, [mine], results_out=tmp_path / "out")
    assert Drifts.calls == calls


def full_disk(*_, **__):
    raise OSError(28, "No space left on device", "scores.json")


def asked(kind, place):
    """Arguments that ask for a file or folder."""
    if kind == "results_out":
        return {kind: place}
    return {"outputs": Outputs(**{kind: place})}


@pytest.mark.parametrize("kind", ["json", "plots", "results_out", "html"])
def test_scores_are_shown_whatever_becomes_of_the_files(
    tmp_path, data, mine, monkeypatch, kind
):
    module, name = {
        "json": (publishing, "write_json"),
        "plots": (publishing, "write_plots"),
        "results_out": (files, "write_text"),
        "html": (publishing, "write_page"),
    }[kind]
    monkeypatch.setattr(module, name, full_disk)
    console = Console(file=io.StringIO(), width=300)
    options = asked(kind, tmp_path / "new.html")
    with pytest.raises(OSError, match="No space left"):
        evaluate_trackers(data, [mine], console=console, **options)
    assert "AUC" in console.file.getvalue() and "Bee" in console.file.getvalue()
    place = tmp_path / "new.html"
    left = [path.name for path in place.glob("**/*") if path.is_file()]
    assert left in ([], ["evaluation.json"]) and not place.is_file()


def test_trackers_that_were_finished_are_shown_when_a_run_is_interrupted(
    tmp_path, data, mine, monkeypatch
):
    save_tiny(tmp_path / "other", seed=1)
    run = tracker_runs.follow_bundle

    def interrupted(bundle, sequences, *, name, **options):
        if name == "other":
            raise KeyboardInterrupt
        return run(bundle, sequences, name=name, **options)

    monkeypatch.setattr(tracker_runs, "follow_bundle", interrupted)
    console = Console(file=io.StringIO(), width=300)
    with pytest.raises(KeyboardInterrupt):
        evaluate_trackers(data, [mine, tmp_path / "other"], console=console)
    assert "AUC" in console.file.getvalue() and "mine" in console.file.getvalue()


@pytest.mark.parametrize("option", ["json", "plots", "results_out", "html"])
def test_places_that_cannot_be_written_are_refused_before_the_work(
    tmp_path, data, mine, option
):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "x.html", "/proc/dst-jax/x.html"):
        with pytest.raises(InputError, match=r"is no folder|nothing can be written"):
            evaluate_trackers(data, [mine], **asked(option, place))
    assert Drifts.calls == 0
    with pytest.raises(InputError, match="is no regular file"):
        evaluate_trackers(data, [mine], outputs=Outputs(json="/dev/null"))


def test_names_are_shown_as_they_are(tmp_path, data):
    name = "[red]$\\frac$ \x1b[2J"
    mine = save_tiny(tmp_path / name)
    shown = shown_by(
        evaluate_trackers,
        data,
        [mine],
        results_out=tmp_path / "o[/]",
    )
    assert "[red]$\\frac$ \\x1b[2J" in shown
    assert "\x1b[2J" not in shown
    shown = shown_by(
        evaluate_results,
        data,
        tmp_path / "o[/]" / name,
        outputs=Outputs(json=tmp_path / "[/].j"),
    )
    assert f"wrote {tmp_path}/[/].j" in shown and "[red]$" in shown


def test_a_targets_name_with_a_slash_is_refused_before_the_work(tmp_path, mine):
    write_frames(tmp_path / "v" / "a", (1, 2))
    text = "".join(f"0000000{i}.jpg,1,1,10,20,../b\n" for i in (1, 2))
    (tmp_path / "v" / "a" / "boxes.txt").write_text(text)
    with pytest.raises(InputError, match=r"'a-\.\./b' cannot name a result file"):
        evaluate_trackers(
            f"folder:{tmp_path / 'v'}", [mine], results_out=tmp_path / "o"
        )
    assert Drifts.calls == 0


def test_a_tracker_without_a_finite_answer_gets_no_score(data, mine, monkeypatch):
    def broken(self, videos, boxes, *, batch=None):
        for number, one in Drifts.track_each(self, videos, boxes):
            yield number, one._replace(scores=np.float32([1, 0, 0])[: len(one.boxes)])

    bundle = load_bundle(mine)
    tracker = type("Broken", (Drifts,), {"track_each": broken})(
        bundle.spec, bundle.variables, bundle.tracking
    )
    with pytest.raises(InputError, match="answers no frame with finite numbers"):
        run_tracker(tracker, evaluation.read_videos(data))


def test_kept_files_are_anybodys_result_files(tmp_path, data, mine):
    evaluate_trackers(data, [mine], results_out=tmp_path / "out")
    found = find_results(tmp_path / "out", NAMES)
    boxes = read_results(found, dict.fromkeys(NAMES, 3), origin=1)
    # x,y,w,h 5,7,10,20 from 1: the centre is 9, 16 from 0; it moves by 1/3.
    np.testing.assert_allclose(boxes["Ant"][2][:2], [9 + 2 / 3, 16 + 2 / 3], atol=1e-4)


def test_a_page_is_written_with_its_numbers_beside_it(tmp_path, data, mine):
    other = save_tiny(tmp_path / "other", seed=1)
    outputs = Outputs(html=tmp_path / "new" / "page.html")
    evaluate_trackers(data, [mine, other], outputs=outputs)
    files = {path.name: path.read_text() for path in (tmp_path / "new").iterdir()}
    assert set(files) == {"page.html", "page.csv", "page.tex", "page.json"}
    page = files["page.html"]
    assert "has the best AUC of 2 trackers" in page and "dst-jax" in page
    # The three frames of two sequences, and in each three maps of two networks.
    assert page.count("data:image/jpeg") == 2 * 3 + 2 * 3 * 2
    assert files["page.csv"].count("\n") == 1 + 2 * (1 + len(NAMES))
    (found,) = json.loads(files["page.json"])["benchmarks"]
    assert list(found["trackers"]) == ["mine", "other"]


def test_result_files_have_a_page_too(tmp_path, data, mine):
    evaluate_trackers(data, [mine], results_out=tmp_path / "out")
    page = tmp_path / "page.html"
    evaluate_results(data, tmp_path / "out" / "mine", outputs=Outputs(html=page))
    text = page.read_text()
    assert "mine: AUC" in text and "Overlap" in text
    assert "respond to" not in text and ">device<" not in text


def test_a_page_must_be_called_html_and_take_no_other_files_place(tmp_path, data, mine):
    with pytest.raises(InputError, match=r"--html .*x: must end in \.html"):
        evaluate_trackers(data, [mine], outputs=Outputs(html=tmp_path / "x"))
    outputs = Outputs(html=tmp_path / "x.html", json=tmp_path / "x.json")
    with pytest.raises(InputError, match="--html writes this file too"):
        evaluate_trackers(data, [mine], outputs=outputs)
    (tmp_path / "y.tex").mkdir()
    with pytest.raises(InputError, match=r"y\.tex is no regular file"):
        evaluate_trackers(data, [mine], outputs=Outputs(html=tmp_path / "y.html"))
    assert Drifts.calls == 0
