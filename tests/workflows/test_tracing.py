"""`--profile` records some steps of a run and changes none of its numbers."""

import gzip
import io
import json
import re

import pytest
from rich.console import Console

from dst_jax.arch import spec_to_json
from dst_jax.bundle import load_bundle
from dst_jax.command.main import main
from dst_jax.files import write_json
from dst_jax.train import METRICS
from dst_jax.workflows.peaks import MFU, PEAKS, peak_of, with_mfu
from dst_jax.workflows.tracing import profiling, steady_steps
from dst_jax.workflows.train import run_training
from tests import networks
from tests.workflows.test_train import plain as plain

pytestmark = pytest.mark.optax

TIMES = ("pairs_per_s", "data_wait_share", "data_wait_s")


def metrics(folder):
    """The lines of a run's log without what a clock measured."""
    lines = [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]
    return [{n: v for n, v in line.items() if n not in TIMES} for line in lines]


@pytest.fixture(scope="module")
def both(plain, tmp_path_factory):
    """Folders of a run that is recorded and of one that is not, and what is said."""
    folder, out = tmp_path_factory.mktemp("runs"), io.StringIO()
    console = Console(file=out, width=400)
    with profiling(wanted=True):
        run_training(plain, folder / "recorded", console=console)
    run_training(plain, folder / "plain", console=Console(quiet=True))
    return folder / "recorded", folder / "plain", out.getvalue()


def test_a_record_for_perfetto_and_one_for_xprof_lie_where_the_line_says(both):
    folder, _, said = both
    found = re.search(
        r"profile of steps 3 to 4: give (\S+) to https://ui.perfetto.dev, or `pip "
        r"install xprof` and `xprof --logdir (\S+)`",
        said,
    )
    assert found, said
    assert found[2] == str(folder / "profile")
    (xprof,) = (folder / "profile" / "plugins" / "profile").glob("*/*.xplane.pb")
    assert xprof.stat().st_size > 0
    events = json.loads(gzip.open(found[1]).read())
    events = events["traceEvents"] if isinstance(events, dict) else events
    steps = [e for e in events if e.get("name") == "train" and e.get("ph") == "X"]
    assert [int(e["args"]["step_num"]) for e in steps] == [3, 4]


def test_a_recorded_run_learns_the_same(both):
    recorded_run, plain_run, _ = both
    assert metrics(recorded_run) == metrics(plain_run)
    digests = [
        load_bundle(folder / "bundles" / "teacher").weights_sha256
        for folder in (recorded_run, plain_run)
    ]
    assert digests[0] == digests[1]
    assert not (plain_run / "profile").exists()


@pytest.mark.parametrize(
    ("began", "changes", "total", "expected"),
    [
        (0, (), 100, (2, 12)),
        (40, (), 100, (42, 52)),
        (0, (), 8, (2, 8)),
        (0, (5,), 100, (7, 17)),  # its first step compiles
        (0, (5, 9), 100, (11, 21)),
        (0, (50,), 100, (2, 12)),
        (5, (5,), 100, (7, 17)),
        (5, (3,), 100, (7, 17)),
        (0, (), 2, (2, 2)),
    ],
)
def test_recorded_steps_compile_nothing(began, changes, total, expected):
    assert steady_steps(began, changes, total) == expected


def test_a_run_that_is_too_short_says_so(plain, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_json(tmp_path / "tiny.json", spec_to_json(networks.TEACHER))
    words = (
        "train demo_teacher --workdir run --profile --student teacher=tiny.json "
        "--optim.epochs 1 --optim.pairs_per_epoch 8 --data.batch 4 --data.threads 0 "
        "--data.validation_share 0.34 --data.sources"
    )
    assert main([*words.split(), *plain.data.sources]) == 0
    said = capsys.readouterr().out
    assert "nothing is recorded, since the run ends before step 3 is done" in said
    assert not (tmp_path / "run" / "profile").exists()


def test_the_share_of_the_peak_is_twice_the_multiply_adds_over_it():
    # 10^12 multiply-adds a pair, 99 pairs/s: 198 TFLOP/s on 2 chips of 989.
    report = {"loss": 1.0, "pairs_per_s": 99.0}
    found = with_mfu(report, macs=10**12, kind="NVIDIA H100 80GB HBM3", devices=2)
    assert found == {**report, MFU: pytest.approx(198 / (2 * 989))}


def test_no_share_is_invented_for_devices_without_a_known_peak(both):
    report = {"pairs_per_s": 99.0}
    assert with_mfu(report, macs=1, kind="cpu", devices=1) == report
    assert peak_of("NVIDIA H100 PCIe") is None  # slower than the SXM
    assert not any(MFU in line for line in metrics(both[1]))


def test_a_validation_has_no_share():
    values = {"val/dull/gt": 0.5}
    assert with_mfu(values, macs=1, kind="TPU v4", devices=1) == values


def test_no_kind_of_device_stands_for_two_peaks():
    kinds = [kind for peak in PEAKS for kind in peak.kinds]
    assert len(kinds) == len(set(kinds))
    assert peak_of("TPU v5 lite") != peak_of("TPU v5")
