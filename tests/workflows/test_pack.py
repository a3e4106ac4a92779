"""`dst-jax data pack`: whole or absent, resumable, and TFDS opens what it leaves."""

import dataclasses
import fcntl
import json
import os
import pathlib
import shutil
import sys

import numpy as np
import pytest

from dst_jax.command.main import main
from dst_jax.data.frames import read_frame
from dst_jax.data.packs.packed import read_pack
from dst_jax.data.patches import cut_patch
from dst_jax.data.pipeline import DataConfig, read_sources
from dst_jax.errors import InputError
from dst_jax.ops.augment import AugmentConfig
from dst_jax.train import LoopConfig, OptimConfig
from dst_jax.workflows import pack as module
from dst_jax.workflows.pack import PackConfig
from dst_jax.workflows.train import run_training
from tests import objectives
from tests.data import small_packs as packs
from tests.data.small_packs import CONSOLE, EXPERIMENT, SPEC


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return packs.write_raw(tmp_path_factory.mktemp("raw") / "raw", categories=("cat",))


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """About thirty records in four shards."""
    monkeypatch.setattr(module, "_MIN_SHARD_RECORDS", 8)


def visible_frames(source):
    sequences, _ = read_sources(DataConfig(sources=(source,)))
    return sum(int(sequence.visible.sum()) for sequence in sequences)


def files_of(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


@pytest.mark.parametrize(("encoding", "levels"), [("jpeg", 4.0), ("raw", 0.0)])
def test_tfds_opens_a_pack_and_finds_every_field(source, tmp_path, encoding, levels):
    import tensorflow_datasets as tfds

    packs.pack(source, tmp_path / "pack", config=PackConfig(encoding=encoding))
    builder = tfds.builder_from_directory(tmp_path / "pack")
    records = builder.as_data_source(split="train")
    sequences, _ = read_sources(DataConfig(sources=(source,)))
    targets = [(s, t) for s in sequences for t in np.flatnonzero(s.visible)]
    assert len(records) == len(targets) == builder.info.splits["train"].num_examples
    assert len(list((tmp_path / "pack").glob("*array_record*"))) == 4
    for record, (sequence, time) in zip(records, targets, strict=True):
        assert record["track"].decode() == sequence.name
        assert record["video"].decode() == sequence.video
        assert record["category"].decode() == sequence.category
        assert record["source"].decode() == source
        assert record["frame_number"] == time and record["visible"]
        np.testing.assert_array_equal(record["frame_box"], sequence.boxes[time])
        frame = read_frame(sequence.frames[time])
        assert record["frame_size"].tolist() == list(frame.shape[:2]) == [64, 80]
        for role in ("search", "template"):
            patch, box, fill = cut_patch(
                frame,
                sequence.boxes[time],
                SPEC.of(role),
            )
            apart = np.abs(record[f"{role}_patch"].astype(np.int32) - patch)
            assert apart.mean() <= levels
        np.testing.assert_array_equal(record["fill_rgb"], fill)
        np.testing.assert_allclose(record["box"][2:], box[2:], rtol=1e-6)
        for scale in ("px_scale", "template_px_scale"):
            np.testing.assert_allclose(
                record[scale], box[2] / sequence.boxes[time][2], rtol=1e-5
            )
        assert record["box"][:2].tolist() == [SPEC.search.patch_px / 2] * 2


def test_a_pack_says_what_it_serves_and_holds(source, tmp_path):
    packs.pack(source, tmp_path / "pack")
    card = json.loads((tmp_path / "pack" / "pack.json").read_text())
    assert card["serves"] == dataclasses.asdict(SPEC)
    assert card["augment"]["search_shift_px"] == 3.0
    assert card["quality"] == 95 and card["sources"] == [source]
    held = sum(shard["records"] for shard in card["shards"])
    assert held == card["records"] == visible_frames(source)


def test_an_interrupted_pack_goes_on_and_equals_an_uninterrupted_one(
    source, tmp_path, monkeypatch
):
    record, made = module.cut_record, []

    def interrupted(*arguments):
        made.append(1)
        if len(made) == 20:
            raise KeyboardInterrupt
        return record(*arguments)

    monkeypatch.setattr(module, "cut_record", interrupted)
    out = tmp_path / "pack"
    one = PackConfig(workers=1)
    with pytest.raises(KeyboardInterrupt):
        packs.pack(source, out, config=one)
    begun = len(made)  # the interrupted one, and what was ahead of it
    partial = tmp_path / ".pack.partial"
    finished = sorted(partial.glob("*array_record*"))
    assert not out.exists() and len(finished) == 2
    # What a kill leaves of the shard in work.
    (partial / f".tmp-00000000-{finished[0].name}").write_bytes(b"half")
    before = {path.name: path.stat().st_mtime_ns for path in finished}
    packs.pack(source, out, config=one)
    assert len(made) - begun == visible_frames(source) - 16
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pack"]
    packs.pack(source, tmp_path / "whole", config=PackConfig(workers=3))
    again, whole = files_of(out), files_of(tmp_path / "whole")
    assert again == whole


def test_packing_again_changes_nothing(source, tmp_path):
    packs.pack(source, tmp_path / "pack")
    before = files_of(tmp_path / "pack")
    packs.pack(source, tmp_path / "pack")
    assert files_of(tmp_path / "pack") == before


def wider():
    return dataclasses.replace(EXPERIMENT, augment=AugmentConfig(search_shift_px=9.0))


def test_a_folder_of_anything_else_is_refused(source, tmp_path, monkeypatch):
    packs.pack(source, tmp_path / "pack")
    with pytest.raises(InputError, match=r"another pack \(augment.search_shift_px"):
        packs.pack(source, tmp_path / "pack", experiment=wider())
    raw = PackConfig(encoding="raw")
    with pytest.raises(InputError, match=r"another pack \(encoding: 'raw'"):
        packs.pack(source, tmp_path / "pack", config=raw)
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="exists and is no pack"):
        packs.pack(source, tmp_path / "folder")
    monkeypatch.setattr(module, "_finish", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        packs.pack(source, tmp_path / "other")
    with pytest.raises(InputError, match="unfinished pack of another kind"):
        packs.pack(source, tmp_path / "other", experiment=wider())


def test_two_processes_do_not_write_one_pack(source, tmp_path):
    with (tmp_path / ".pack.partial.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another process is packing it"):
            packs.pack(source, tmp_path / "pack")


def test_a_bad_frame_is_named_and_packing_goes_on_when_it_is_mended(tmp_path):
    source = packs.write_raw(tmp_path / "raw")
    sequence = read_sources(DataConfig(sources=(source,)))[0][2]
    frame = pathlib.Path(sequence.frames[np.flatnonzero(sequence.visible)[-1]])
    whole = frame.read_bytes()
    frame.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=rf"{frame} is no complete image"):
        packs.pack(source, tmp_path / "pack", config=PackConfig(workers=1))
    assert not (tmp_path / "pack").exists()
    frame.write_bytes(whole)
    packs.pack(source, tmp_path / "pack")


def test_a_full_disk_is_one_line_and_loses_nothing(source, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(module, "write_metadata", full)
        with pytest.raises(InputError, match=r"No space left .* run again to go on"):
            packs.pack(source, tmp_path / "pack")
    assert not (tmp_path / "pack").exists()
    shards = sorted((tmp_path / ".pack.partial").glob("*array_record*"))
    before = [shard.stat().st_mtime_ns for shard in shards]
    packs.pack(source, tmp_path / "pack")
    after = sorted((tmp_path / "pack").glob("*array_record*"))
    assert [shard.stat().st_mtime_ns for shard in after] == before


def test_a_disk_that_fills_up_half_way_keeps_the_shards_before(
    source, tmp_path, monkeypatch
):
    from array_record.python import array_record_module

    class Writer(array_record_module.ArrayRecordWriter):
        def write(self, record):
            # As it complains of a real disk, after two shards and a half.
            if len(written) == 20:
                raise RuntimeError("write() failed: No space left on device")
            written.append(len(record))
            return super().write(record)

    written, out = [], tmp_path / "pack"
    with monkeypatch.context() as patched:
        patched.setattr(array_record_module, "ArrayRecordWriter", Writer)
        with pytest.raises(InputError, match=r"00002-of-.* No space left .* to go on"):
            packs.pack(source, out, config=PackConfig(workers=1))
    held = sorted((tmp_path / ".pack.partial").glob("*array_record*"))
    assert len(held) == 2 and not out.exists()
    before = [path.stat().st_mtime_ns for path in held]
    packs.pack(source, out)
    after = sorted(out.glob("*array_record*"))[:2]
    assert [path.stat().st_mtime_ns for path in after] == before
    packs.pack(source, tmp_path / "whole")
    assert files_of(out) == files_of(tmp_path / "whole")


def test_what_a_pack_has_lost_is_written_again(source, tmp_path):
    out = tmp_path / "pack"
    packs.pack(source, out)
    whole, times = files_of(out), {p: p.stat().st_mtime_ns for p in out.iterdir()}
    first, second, *_ = sorted(out.glob("*array_record*"))
    first.unlink()
    second.write_bytes(second.read_bytes()[:-1])
    (out / "index.npz").unlink()
    packs.pack(source, out)
    assert files_of(out) == whole
    kept = [p for p in sorted(out.glob("*array_record*")) if p not in (first, second)]
    assert kept and all(p.stat().st_mtime_ns == times[p] for p in kept)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pack"]


def test_a_pack_of_the_format_before_checksums_gets_them_and_keeps_its_shards(
    source, tmp_path
):
    out = tmp_path / "pack"
    packed = packs.pack(source, out)
    whole = files_of(out)
    card = json.loads((out / "pack.json").read_text())
    card["format"] = 3
    del card["digest"], card["index"]
    (out / "pack.json").write_text(json.dumps(card))
    with np.load(out / "index.npz") as index:
        arrays = {name: index[name] for name in index if name != "crc32"}
    np.savez(out / "index.npz", **arrays)
    first, *others = sorted(out.glob("*array_record*"))
    first.write_bytes(first.read_bytes()[:-1])
    times = [path.stat().st_mtime_ns for path in others]
    with pytest.raises(InputError, match=r"format 3 .* run the same .* keeps the pat"):
        read_pack(packed)
    with pytest.raises(InputError, match=r"another pack \(encoding"):
        packs.pack(source, out, config=PackConfig(encoding="raw"))
    packs.pack(source, out)
    assert files_of(out) == whole
    assert [path.stat().st_mtime_ns for path in others] == times


def test_a_lock_that_a_kill_left_is_swept(source, tmp_path):
    packs.pack(source, tmp_path / "pack")
    lock = tmp_path / ".pack.partial.lock"
    lock.touch()
    packs.pack(source, tmp_path / "pack")
    assert not lock.exists()


def test_a_shard_that_was_damaged_while_packing_stopped_is_named(
    source, tmp_path, monkeypatch
):
    out = tmp_path / "pack"
    with monkeypatch.context() as patched:
        patched.setattr(module, "write_metadata", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            packs.pack(source, out)
    shard = sorted((tmp_path / ".pack.partial").glob("*array_record*"))[1]
    content = shard.read_bytes()
    shard.write_bytes(content[:9000] + bytes(64) + content[9064:])
    with pytest.raises(InputError, match=rf"shard .*{shard.name} is damaged .*remove"):
        packs.pack(source, out)
    assert not (tmp_path / ".pack.partial.lock").exists()
    shard.unlink()
    packs.pack(source, out)
    packs.pack(source, tmp_path / "whole")
    assert files_of(out) == files_of(tmp_path / "whole")


def test_a_place_that_cannot_be_written_is_told_before_the_data_is_read(
    source, tmp_path, monkeypatch
):
    def refuse(*_):
        raise AssertionError

    (tmp_path / "file").touch()
    monkeypatch.setattr(module, "read_sources", refuse)
    with pytest.raises(InputError, match=r"file/pack: .*file is no folder; name anoth"):
        packs.pack(source, tmp_path / "file" / "pack")


def test_a_disk_that_is_too_small_is_told_before_packing(source, tmp_path, monkeypatch):
    free = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: free)
    raw = PackConfig(encoding="raw")
    side = SPEC.template.patch_px**2 + SPEC.search.patch_px**2
    needed = visible_frames(source) * 3 * side / 1e6
    with pytest.raises(InputError, match=rf"about {needed:.2f} MB are needed"):
        packs.pack(source, tmp_path / "pack", config=raw)
    assert list(tmp_path.iterdir()) == []


def test_a_report_that_lies_elsewhere_is_heeded(tmp_path, capsys):
    source = packs.write_raw(tmp_path / "raw")
    text = tmp_path / "raw" / "000001" / "groundtruth.txt"
    text.write_text("nan,5,5,5\n" + text.read_text().split("\n", 1)[1])
    report, config = tmp_path / "elsewhere.json", tmp_path / "config.py"
    assert main(["data", "verify", source, "--report", str(report)]) == 2
    config.write_text(
        "from tests.data.small_packs import EXPERIMENT as experiment_\n"
        "experiment = lambda: experiment_\n"
    )
    capsys.readouterr()
    verb = ["data", "pack", source, "--out", str(tmp_path / "pack")]
    verb += ["--config", str(config), "--data.reports", str(report)]
    assert main(verb) == 2
    assert "elsewhere.json" in capsys.readouterr().err
    assert main([*verb, "--skip-bad"]) == 0
    tracks, _ = read_pack(f"packed:{tmp_path / 'pack'}")
    seen = {track.name: track.visible for track in tracks}
    assert len(seen) == 5 and not seen["000001"][0] and seen["000001"].any()


def test_the_command_packs_and_refuses_in_one_line(source, tmp_path, capsys):
    config = tmp_path / "config.py"
    config.write_text(
        "from tests.data.small_packs import EXPERIMENT\n"
        "def experiment():\n    return EXPERIMENT\n"
    )
    out = str(tmp_path / "pack")
    verb = ["data", "pack", "--out", out, "--config", str(config)]
    shift = ["--augment.search_shift_px", "5"]
    assert main([*verb, source, *shift]) == 0
    assert f"packed:{out}" in capsys.readouterr().out
    card = json.loads(pathlib.Path(out, "pack.json").read_text())
    assert card["augment"]["search_shift_px"] == 5.0
    for wrong in (
        [],
        [source],
        [f"packed:{out}"],
        [source, "--quality", "101"],
        [source, "--encoding", "gif"],
        [source, "--augment.shift", "5"],
    ):
        assert main([*verb, *wrong]) == 2, wrong
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.optax
def test_training_is_the_same_from_a_pack_on_the_host_and_on_the_device(
    source, tmp_path
):
    packed = packs.pack(source, tmp_path / "pack")
    plain = dataclasses.replace(
        EXPERIMENT,
        data=DataConfig(sources=(packed,), batch=4, validation_share=0.34),
        **objectives.row(objectives.TINY, "NOKD")._asdict(),
        optim=OptimConfig(epochs=1.0, pairs_per_epoch=8, learning_rate=1e-2),
        loop=LoopConfig(log_every=1),
    )
    losses = []
    for cache in ("host", "device"):
        data = dataclasses.replace(plain.data, cache=cache)
        experiment = dataclasses.replace(plain, data=data)
        run = run_training(experiment, tmp_path / cache, console=CONSOLE)
        rows = [json.loads(line) for line in run.metrics.read_text().splitlines()]
        steps = [row for row in rows if "loss" in row]
        assert all(0.0 <= row["data_wait_s"] < 60.0 for row in steps)
        losses.append([row["loss"] for row in steps])
    assert losses[0] == losses[1] and len(losses[0]) == 2
    assert "tensorflow" not in sys.modules
    needy = dataclasses.replace(plain, augment=AugmentConfig(search_shift_px=9.0))
    with pytest.raises(InputError, match=r"serves search patches up to .* needs"):
        run_training(needy, tmp_path / "needy", console=CONSOLE)


def test_settings_of_a_pack_are_checked():
    with pytest.raises(InputError, match=r"PackConfig\.quality=0: must be from 1"):
        PackConfig(quality=0)
    with pytest.raises(InputError, match=r"PackConfig\.workers=-1: must be at least 0"):
        PackConfig(workers=-1)
    with pytest.raises(InputError, match=r"PackConfig\.workers=100000: must be at"):
        PackConfig(workers=100_000)
    with pytest.raises(InputError, match="is a pack already"):
        packs.pack("packed:x", pathlib.Path("unused"))


def test_names_that_are_no_utf8_are_packed_as_they_are_shown(tmp_path):
    source = packs.write_raw(tmp_path / "raw")
    video = next(path for path in (tmp_path / "raw").iterdir() if path.is_dir())
    video.rename(video.with_name(os.fsdecode(b"caf\xe9")))
    (tmp_path / "raw" / "list.txt").unlink()
    packs.pack(source, tmp_path / "pack")
    sequences, _ = read_pack(f"packed:{tmp_path / 'pack'}")
    assert r"caf\xe9" in {sequence.name for sequence in sequences}
