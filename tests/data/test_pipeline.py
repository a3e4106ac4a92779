import dataclasses
import itertools
import pathlib
import subprocess
import sys

import cv2
import numpy as np
import pytest

from dst_jax.data.pipeline import (
    DataConfig,
    fixed_batches,
    make_numbered_examples,
    read_sources,
    train_batches,
)
from dst_jax.errors import InputError
from tests.data.toy import make_sequence, patch_pair, write_sequences

SPEC = patch_pair(12, 20, template_px=10)
CONFIG = DataConfig(sources=("toy",), batch=4, negative_share=0.25)


@pytest.fixture(scope="module")
def sequences(tmp_path_factory):
    return write_sequences(tmp_path_factory.mktemp("toy"), videos=5)


def take(sequences, steps, *, config=CONFIG, **options):
    stream = train_batches(sequences, config, SPEC, seed=3, **options)
    batches = list(itertools.islice(stream, steps))
    stream.close()
    return batches


def assert_same(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_a_batch_holds_what_the_step_expects(sequences):
    (batch,) = take(sequences, 1)
    expected = {
        "template_patch": ((4, 12, 12, 3), np.uint8),
        "search_patch": ((4, 20, 20, 3), np.uint8),
        "template_box": ((4, 4), np.float32),
        "search_box": ((4, 4), np.float32),
        "template_fill_rgb": ((4, 3), np.float32),
        "search_fill_rgb": ((4, 3), np.float32),
        "is_negative": ((4,), np.bool_),
        "mask": ((4,), np.float32),
        "index": ((4,), np.int32),
    }
    found = {name: (value.shape, value.dtype) for name, value in batch.items()}
    assert found == expected
    assert batch["index"].tolist() == [0, 1, 2, 3]
    assert batch["mask"].tolist() == [1.0] * 4
    # Box 8x6, so s_z = sqrt(15 * 13); 10 patch px cover it.
    scale = 10 / np.sqrt(15 * 13)
    np.testing.assert_allclose(
        batch["search_box"], np.tile([10, 10, 8 * scale, 6 * scale], (4, 1)), rtol=1e-6
    )


@pytest.mark.parametrize("step", range(1, 8))
def test_a_restart_at_any_step_gives_the_rest_of_the_stream(sequences, step):
    whole = take(sequences, 8)
    assert_same(take(sequences, 8 - step, start_step=step), whole[step:])


@pytest.mark.parametrize("count", [1, 2, 4])
def test_every_number_comes_once_whatever_the_processes(sequences, count):
    parts = [
        take(sequences, 5, process_index=p, process_count=count) for p in range(count)
    ]
    numbers = [n for part in parts for batch in part for n in batch["index"].tolist()]
    assert sorted(numbers) == list(range(20))


def test_every_sequence_comes_once_in_each_pass_of_the_stream(sequences):
    # 5 sequences, 20 examples: four passes.
    examples = make_numbered_examples(sequences, CONFIG, SPEC, seed=3)
    firsts = examples.pairs.draw(range(20)).template_sequence.tolist()
    assert all(sorted(firsts[k : k + 5]) == [0, 1, 2, 3, 4] for k in range(0, 20, 5))


@pytest.mark.parametrize("count", [2, 4])
def test_processes_together_hold_the_global_batches(sequences, count):
    whole = take(sequences, 3)
    parts = [
        take(sequences, 3, process_index=p, process_count=count) for p in range(count)
    ]
    merged = []
    for step in zip(*parts, strict=True):
        # Example k of process p is number k * count + p of the global batch.
        joined = {n: np.stack([b[n] for b in step], axis=1) for n in step[0]}
        merged.append({n: v.reshape(4, *v.shape[2:]) for n, v in joined.items()})
    assert_same(merged, whole)


@pytest.mark.parametrize(("threads", "cache_mb"), [(0, 0), (1, 1), (4, 0), (4, 1)])
def test_threads_and_cache_do_not_change_the_batches(sequences, threads, cache_mb):
    config = dataclasses.replace(CONFIG, threads=threads, cache_mb=cache_mb)
    assert_same(take(sequences, 6, config=config), take(sequences, 6))


def test_negative_pairs_are_flagged(sequences):
    config = dataclasses.replace(CONFIG, batch=200)
    (batch,) = take(sequences, 1, config=config)
    # 50 expected of 200; five standard deviations are 31.
    assert abs(int(batch["is_negative"].sum()) - 50) < 32


def test_images_of_one_frame_make_pairs(tmp_path):
    singles = write_sequences(tmp_path, videos=3, length=1)
    config = dataclasses.replace(CONFIG, negative_share=0.0)
    (batch,) = take(singles, 1, config=config)
    inner = batch["search_patch"][:, 4:16, 4:16]
    np.testing.assert_array_equal(inner, batch["template_patch"])


@pytest.mark.parametrize("threads", [0, 2])
def test_an_unreadable_frame_surfaces_in_the_caller(tmp_path, threads):
    sequences = write_sequences(tmp_path, videos=5)
    pathlib.Path(sequences[2].frames[1]).write_bytes(b"\x89PNG broken")
    config = dataclasses.replace(CONFIG, threads=threads)
    stream = train_batches(sequences, config, SPEC, seed=3)
    with pytest.raises(InputError, match=r"2-1\.png is no complete image"):
        for _ in range(50):
            next(stream)


def test_a_process_that_stops_early_ends(tmp_path):
    write_sequences(tmp_path, videos=2)
    program = (
        "import pathlib, sys\n"
        "from tests.data.test_pipeline import *\n"
        "s = write_sequences(pathlib.Path(sys.argv[1]), videos=2)\n"
        "stream = train_batches(s, CONFIG, SPEC, seed=0)\n"
        "next(stream)\n"
        "raise SystemExit(3)\n"
    )
    root = pathlib.Path(__file__).parents[2]
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, cwd=root, timeout=60, capture_output=True)
    assert done.returncode == 3, done.stderr


def test_validation_batches_are_fixed_and_padded(sequences):
    batches = fixed_batches(sequences, CONFIG, SPEC, seed=1, examples=6)
    assert_same(batches, fixed_batches(sequences, CONFIG, SPEC, seed=1, examples=6))
    assert [b["mask"].tolist() for b in batches] == [[1.0] * 4, [1.0, 1.0, 0.0, 0.0]]
    assert not any(b["is_negative"].any() for b in batches)
    assert all(np.isfinite(b["search_box"]).all() for b in batches)
    per_sequence = fixed_batches(sequences, CONFIG, SPEC, seed=1)
    assert sum(b["mask"].sum() for b in per_sequence) == 5
    halves = [
        fixed_batches(
            sequences,
            CONFIG,
            SPEC,
            seed=1,
            examples=6,
            process_index=p,
            process_count=2,
        )
        for p in (0, 1)
    ]
    masks = [[b["mask"].tolist() for b in half] for half in halves]
    assert masks == [[[1.0, 1.0], [1.0, 0.0]]] * 2


def test_sources_are_read_filtered_and_reported(tmp_path):
    folder = tmp_path / "Toy"
    (folder / "img").mkdir(parents=True)
    for i in (1, 2):
        cv2.imwrite(str(folder / "img" / f"{i}.png"), np.zeros((40, 60), np.uint8))
    (folder / "groundtruth_rect.txt").write_text("1,1,9,9\n1,1,2,2\n")
    (sequence,), report = read_sources(DataConfig(sources=(f"otb:{tmp_path}",)))
    assert sequence.visible.tolist() == [True, False]
    assert report.kept_frames == 1
    assert sum(f.frames for f in report.findings) == 1
    (folder / "groundtruth_rect.txt").write_text("1,1,2,2\n1,1,2,2\n")
    with pytest.raises(InputError, match="has no box fit for training"):
        read_sources(DataConfig(sources=(f"otb:{tmp_path}",)))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sources", ()),
        ("sources", ("a", "a")),
        ("weights", (1.0, 2.0)),
        ("weights", (0.0,)),
        ("batch", 0),
        ("validation_share", 1.0),
        ("threads", -1),
        ("prefetch", 0),
        ("cache_mb", -1),
        ("max_gap", -1),
        ("max_gaps", (1, 2)),
        ("max_gaps", (-1,)),
        ("negatives_from", "sources"),
        ("negative_share", 2.0),
    ],
)
def test_a_bad_field_is_named(field, value):
    with pytest.raises(InputError, match=field):
        DataConfig(**{"sources": ("toy",), field: value})


def test_a_bad_patch_size_is_named():
    with pytest.raises(InputError, match="patch_px=0: must be from 1"):
        patch_pair(1, 0, template_px=1)


def test_what_cannot_be_streamed_is_refused(sequences):
    with pytest.raises(InputError, match="does not divide over 3 processes; use 6"):
        train_batches(sequences, CONFIG, SPEC, seed=0, process_count=3)
    with pytest.raises(InputError, match="no visible frame on disk"):
        train_batches([make_sequence("a", 3)], CONFIG, SPEC, seed=0)


def test_importing_the_package_loads_no_training_library():
    program = (
        "import sys, dst_jax.data\n"
        "heavy = {'grain', 'optax', 'orbax', 'tensorflow', 'flax'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True)
    assert done.returncode == 0, done.stderr
