"""The ledger and the summary of a search: what was written is read, or refused."""

import dataclasses
import json
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dst_jax.arch import spec_id
from dst_jax.errors import InputError
from dst_jax.search import (
    Ledger,
    append_step,
    check_summary,
    read_ledger,
    read_summary,
    write_summary,
)
from tests.search.test_loop import CONFIG, Scorer, search

pytestmark = pytest.mark.optax

TIMES = settings(max_examples=60, deadline=1000)


def write(path, **options):
    """A ledger of six steps with three candidates; returns it."""
    ledger = read_ledger(path, candidates=3)

    def report(trials):
        nonlocal ledger
        ledger = append_step(ledger, trials)

    search(Scorer(), past=ledger.trials, report=report, **options)
    return ledger


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write(tmp_path_factory.mktemp("whole") / "ledger.jsonl")


@pytest.fixture(scope="module")
def lines(whole):
    return whole.path.read_bytes().splitlines(keepends=True)


def read(folder, content, **options):
    path = folder / "ledger.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else b"".join(content))
    return read_ledger(path, candidates=3, **options)


def without_digests(lines):
    """As a version before the digests wrote them."""
    rows = [json.loads(line) for line in lines]
    for row in rows:
        del row["digest"]
    return [json.dumps(row).encode() + b"\n" for row in rows]


def test_what_was_appended_is_read(whole):
    again = read_ledger(whole.path, candidates=3)
    assert again == whole and again.is_protected
    assert len(again.trials) == len(set(again.digests)) == 18


@pytest.mark.parametrize("sampler", ["policy", "uniform"])
def test_a_search_goes_on_from_its_ledger_on_the_same_trajectory(tmp_path, sampler):
    config = dataclasses.replace(CONFIG, sampler=sampler)
    path = tmp_path / "ledger.jsonl"
    whole = write(path, config=config)
    lines = path.read_bytes().splitlines(keepends=True)
    # Killed in the middle of the fourth step's lines.
    past = read(tmp_path, b"".join(lines[:10]) + lines[10][:25])
    assert path.read_bytes() == b"".join(lines[:9])
    assert past.trials == whole.trials[:9]
    score = Scorer()
    ledger = past

    def report(trials):
        nonlocal ledger
        ledger = append_step(ledger, trials)

    search(score, past=past.trials, config=config, report=report)
    again = read_ledger(path, candidates=3)
    strip = [dataclasses.replace(t, seconds=0.0) for t in again.trials]
    assert strip == [dataclasses.replace(t, seconds=0.0) for t in whole.trials]
    before = {spec_id(t.spec) for t in past.trials if t.spec is not None}
    assert not before & {name for names in score.asked for name in names}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda x: [x[0], re.sub(rb'"reward": [^,]*', b'"reward": 4.9', x[1])], 2),
        (lambda x: [re.sub(rb'"seconds": [^,]*', b'"seconds": 9.0', x[0]), x[1]], 1),
        (lambda x: [x[1], x[0]], 1),
        (lambda x: [x[1], x[1]], 1),
        (lambda x: [x[0], without_digests(x)[1]], 2),
    ],
)
def test_a_line_that_was_changed_moved_or_taken_out_is_refused(
    tmp_path, lines, change, line
):
    text = rf"ledger.jsonl, line {line}: it or a line before it was changed after it"
    with pytest.raises(InputError, match=text):
        read(tmp_path, [*change(lines[:2]), *lines[2:]])


def test_a_line_that_is_gone_is_refused(tmp_path, lines):
    with pytest.raises(InputError, match="line 5: it or a line before it was changed"):
        read(tmp_path, [*lines[:4], *lines[5:]])


def test_finished_lines_may_not_go(tmp_path, whole, lines):
    finished = 18, whole.digests[-1]
    for content in (lines[:15], lines[:17], [*lines[:-1], lines[-1][:-1]], []):
        with pytest.raises(InputError, match=r"1[50] of 18|0 of 18 finished candid"):
            read(tmp_path, content, finished=finished)
        # What is left of the evidence stays.
        assert (tmp_path / "ledger.jsonl").read_bytes() == b"".join(content)
    with pytest.raises(InputError, match="line 18: it or a line before it was"):
        read(tmp_path, lines, finished=(18, whole.digests[-2]))
    assert read(tmp_path, lines, finished=(9, whole.digests[8])).trials == whole.trials


def test_a_ledger_without_digests_is_read_and_goes_on_with_them(tmp_path, whole, lines):
    old = read(tmp_path, without_digests(lines[:15]))
    assert old.trials == whole.trials[:15] and not old.is_protected
    append_step(old, whole.trials[15:])
    mixed = (tmp_path / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    # The new digests stand for the lines without one, too.
    assert json.loads(mixed[-1])["digest"] == json.loads(lines[-1])["digest"]
    mixed[3] = re.sub(rb'"accuracy": [^,]*', b'"accuracy": 0.9', mixed[3])
    with pytest.raises(InputError, match="line 16: it or a line before it"):
        read(tmp_path, mixed)


@pytest.mark.parametrize(
    "bad",
    [
        b'{"step": 0}',
        b"[1]",
        b"nonsense",
        b"\xff\xfe",
        b"",
        b"[" * 200_000,
        b"1" * 5_000,
        b'{"step": 1' + b"0" * 400 + b"}",
    ],
)
def test_a_line_that_is_no_trial_is_named(tmp_path, lines, bad):
    with pytest.raises(InputError, match=r"ledger.jsonl, line 2: not a trial") as said:
        read(tmp_path, [lines[0], bad + b"\n", *lines[2:]])
    assert "\n" not in str(said.value) and len(str(said.value)) < 2000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@TIMES
@given(data=st.data())
def test_a_line_with_any_value_in_a_field_is_refused(tmp_path_factory, lines, data):
    row = json.loads(lines[0])
    field = data.draw(st.sampled_from(sorted(row)))
    value = data.draw(JSON.filter(lambda value: value != row[field]))
    row[field] = value
    changed = json.dumps(row).encode() + b"\n"
    folder = tmp_path_factory.mktemp("fuzz")
    with pytest.raises(InputError):
        read(folder, [changed, *lines[1:]])
    if field != "digest":
        # Nor does a line without digest take any value but a trial's.
        try:
            read(folder, without_digests([changed, *lines[1:3]]))
        except InputError as error:
            assert "ledger.jsonl, line 1: not a trial" in str(error)


@TIMES
@given(content=st.binary(max_size=200))
def test_any_bytes_are_a_ledger_or_refused(tmp_path_factory, content):
    try:
        assert read(tmp_path_factory.mktemp("fuzz"), content).trials == ()
    except InputError as error:
        assert "ledger.jsonl, line 1" in str(error)


def flipped(content, rng):
    place, bit = rng.randrange(len(content)), rng.randrange(8)
    return content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]


def test_of_100_bit_flips_in_a_finished_ledger_none_is_believed(tmp_path, whole, lines):
    rng, content = random.Random(0), b"".join(lines[:6])
    for _ in range(100):
        try:
            finished = 6, whole.digests[5]
            again = read(tmp_path, flipped(content, rng), finished=finished)
        except InputError as error:
            assert "ledger.jsonl" in str(error)
        else:
            assert again.trials == whole.trials[:6]


def test_of_100_bit_flips_in_an_unfinished_ledger_none_is_believed(
    tmp_path, whole, lines
):
    rng, content = random.Random(1), b"".join(lines[:2])
    for _ in range(100):
        path = tmp_path / "ledger.jsonl"
        path.write_bytes(flipped(content, rng))
        try:
            again = read_ledger(path, candidates=1)
        except InputError:
            continue
        # The last line's end was hit: the line is cut off, and searched again.
        assert again.trials == whole.trials[: len(again.trials)]


@pytest.fixture
def summary(tmp_path, whole):
    path = tmp_path / "search.json"
    write_summary(path, whole, teacher_accuracy=0.4, platform="here")
    return path


def test_a_summary_names_the_best_trial_and_the_ledger(summary, whole):
    found = read_summary(summary)
    best = max(whole.trials, key=lambda trial: trial.reward)
    assert (found.candidates, found.step, found.reward) == (18, best.step, best.reward)
    assert (found.teacher_accuracy, found.platform) == (0.4, "here")
    assert found.ledger == whole.digests[-1]
    check_summary(summary, found, whole.trials)
    assert read_summary(summary.with_name("absent.json")) is None


def test_a_summary_before_the_digests_is_read_and_compared(summary, whole):
    values = json.loads(summary.read_text())
    for name in ("platform", "ledger", "digest"):
        del values[name]
    summary.write_text(json.dumps(values))
    check_summary(summary, read_summary(summary), whole.trials)
    summary.write_text(json.dumps({**values, "reward": 4.9}))
    with pytest.raises(InputError, match=r"search.json: reward=4.9, and the ledger"):
        check_summary(summary, read_summary(summary), whole.trials)


@pytest.mark.parametrize(
    "content",
    ["{}", '"text"', "", "[1]", "null", '{"candidates": 3}', "1" * 5_000, "[" * 9_999],
)
def test_what_is_no_summary_is_one_line(summary, content):
    summary.write_text(content)
    with pytest.raises(InputError, match=r"search.json: .*remove it") as said:
        read_summary(summary)
    assert "\n" not in str(said.value)


@TIMES
@given(data=st.data())
def test_a_summary_with_any_other_value_is_refused(tmp_path_factory, whole, data):
    path = tmp_path_factory.mktemp("fuzz") / "search.json"
    write_summary(path, whole, teacher_accuracy=0.4, platform="here")
    values = json.loads(path.read_text())
    field = data.draw(st.sampled_from([*sorted(values), "more"]))
    value = data.draw(JSON.filter(lambda value: value != values.get(field, ...)))
    path.write_text(json.dumps({**values, field: value}))
    with pytest.raises(InputError, match=r"search\.json"):
        read_summary(path)


def test_of_100_bit_flips_in_a_summary_none_is_believed(summary):
    rng, content, whole = random.Random(2), summary.read_bytes(), read_summary(summary)
    for _ in range(100):
        summary.write_bytes(flipped(content, rng))
        try:
            assert read_summary(summary) == whole
        except InputError as error:
            assert "search.json" in str(error)


def test_a_full_disk_names_the_ledger(whole):
    full = Ledger(whole.path.with_name("full.jsonl"))
    full.path.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as said:
        append_step(full, whole.trials[:3])
    assert said.value.filename == str(full.path)
