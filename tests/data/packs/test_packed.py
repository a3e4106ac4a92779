"""A pack stands for the data set that it was made from."""

import dataclasses
import itertools
import pathlib
import subprocess
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from dst_jax.arch import AreaCrop
from dst_jax.command.main import main
from dst_jax.data.packs.packed import open_pack, read_pack
from dst_jax.data.packs.records import Records
from dst_jax.data.patches import PatchSpec, RolePatch
from dst_jax.data.pipeline import (
    DataConfig,
    fixed_batches,
    read_sources,
    train_batches,
)
from dst_jax.data.small_set import order_by_class, read_small_set
from dst_jax.errors import InputError
from dst_jax.workflows.pack import PackConfig
from dst_jax.workflows.training_data import patch_spec
from tests.data import small_packs as packs
from tests.data.small_packs import SPEC

ROOT = pathlib.Path(__file__).parents[3]
WITHOUT_TENSORFLOW = """
import sys

from importlib.machinery import PathFinder

def found(name, *where, find=PathFinder.find_spec):
    return None if name.partition(".")[0] == "tensorflow" else find(name, *where)

PathFinder.find_spec = found
import dst_jax
from dst_jax.data.pipeline import DataConfig, read_sources, train_batches
from tests.data.small_packs import SPEC, pack
source = pack(sys.argv[1], __import__("pathlib").Path(sys.argv[2]))
sequences, _ = read_sources(DataConfig(sources=(source,)))
stream = train_batches(sequences, DataConfig(sources=(source,)), SPEC, seed=0)
print(next(stream)["search_patch"].shape, "tensorflow" in sys.modules)
stream.close()
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Two data sets, raw and packed: ((raw, raw), (packed, packed))."""
    root = tmp_path_factory.mktemp("packs")
    kinds = ("cat", "cat", "cat", "dog", "dog"), ()
    raw = [
        packs.write_raw(root / f"raw{i}", seed=i, categories=kinds[i]) for i in (0, 1)
    ]
    made = [packs.pack(source, root / f"pack{i}") for i, source in enumerate(raw)]
    return tuple(raw), tuple(made)


def take(sources, steps, *, spec=SPEC, threads=2, **options):
    """Host batches of the first set, or of both with weights."""
    weights = (3.0, 1.0) if len(sources) == 2 else ()
    config = DataConfig(
        sources=sources,
        weights=weights,
        batch=4,
        negative_share=0.3,
        threads=threads,
    )
    sequences, _ = read_sources(config)
    stream = train_batches(sequences, config, spec, seed=3, **options)
    batches = list(itertools.islice(stream, steps))
    stream.close()
    return batches


def assert_same(first, second, *, exact=True):
    """Equal batches; patches only to the losses of JPEG unless `exact`."""
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            if exact or not name.endswith("_patch"):
                np.testing.assert_array_equal(a[name], b[name], err_msg=name)
            else:
                apart = np.abs(a[name].astype(np.int32) - b[name])
                # Halved colours at quality 95; another frame is tens of levels off.
                assert apart.mean() < 4.0, name


@pytest.mark.parametrize("count", [1, 2])
def test_pairs_are_those_of_the_data_set_itself(sources, count):
    raw, packed = (take(part[:count], 12) for part in sources)
    assert_same(raw, packed, exact=False)


def test_a_raw_pack_is_the_data_set_itself(sources, tmp_path):
    raw = sources[0][:1]
    packed = packs.pack(*raw, tmp_path / "pack", config=PackConfig(encoding="raw"))
    assert_same(take(raw, 12), take((packed,), 12))
    assert main(["data", "verify", packed]) == 0


def test_a_pack_keeps_tracks_boxes_and_visibility(sources):
    raw, _ = read_sources(DataConfig(sources=sources[0][:1]))
    packed, report = read_pack(sources[1][0])
    assert report.kept_sequences == len(raw) == len(packed)
    for a, b in zip(raw, packed, strict=True):
        names = ("name", "video", "category", "size")
        assert [getattr(a, n) for n in names] == [getattr(b, n) for n in names]
        np.testing.assert_array_equal(a.boxes, b.boxes)
        np.testing.assert_array_equal(a.visible, b.visible)
        assert b.source == sources[1][0]


def test_a_restart_at_any_step_gives_the_rest_of_the_stream(sources):
    whole = take(sources[1], 6)
    for step in range(1, 6):
        assert_same(take(sources[1], 6 - step, start_step=step), whole[step:])


@pytest.mark.parametrize("count", [2, 4])
def test_processes_together_hold_the_global_batches(sources, count):
    whole = take(sources[1], 4)
    parts = [
        take(sources[1], 4, process_index=p, process_count=count) for p in range(count)
    ]
    for step, batch in enumerate(whole):
        # Example k of process p is number k * count + p of the global batch.
        for name, values in batch.items():
            for p, part in enumerate(parts):
                np.testing.assert_array_equal(part[step][name], values[p::count])


@pytest.mark.parametrize("kind", [0, 1])
def test_a_run_continued_on_other_numbers_of_processes_sees_the_same_stream(
    sources, kind
):
    whole, step = take(sources[kind], 8), 0
    for count, steps in ((1, 2), (4, 1), (2, 3), (1, 2)):
        parts = [
            take(
                sources[kind],
                steps,
                start_step=step,
                process_index=p,
                process_count=count,
            )
            for p in range(count)
        ]
        for k in range(steps):
            for name, values in whole[step + k].items():
                dealt = np.empty_like(values)
                for p, part in enumerate(parts):
                    dealt[p::count] = part[k][name]
                np.testing.assert_array_equal(dealt, values, err_msg=name)
        step += steps


@pytest.mark.parametrize("threads", [0, 1, 4])
def test_threads_do_not_change_the_batches(sources, threads):
    assert_same(take(sources[1], 4, threads=threads), take(sources[1], 4))


def test_smaller_patches_are_the_middle_of_the_packed_ones(sources):
    smaller = changed(SPEC, template=-2, search=-6)
    (small,), (full,) = (take(sources[1][:1], 1, spec=spec) for spec in (smaller, SPEC))
    np.testing.assert_array_equal(
        small["search_patch"], full["search_patch"][:, 3:-3, 3:-3]
    )
    np.testing.assert_array_equal(
        small["template_patch"], full["template_patch"][:, 1:-1, 1:-1]
    )
    np.testing.assert_array_equal(
        small["search_box"][:, :2], full["search_box"][:, :2] - 3.0
    )


def changed(spec, *, template=0, search=0, **zooms):
    """Patches of other sides, or of other zooms by role."""
    more = {"template": template, "search": search}
    patches = {
        role: RolePatch(
            spec.of(role).patch_px + more[role],
            dataclasses.replace(spec.of(role).zoom, **zooms.get(f"{role}_zoom", {})),
        )
        for role in more
    }
    return PatchSpec(**patches)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"search": 2}, r"serves search patches up to \d+ px; .* needs \d+ px"),
        ({"template": 2}, "serves template patches up to"),
        ({"search": -1}, "smaller odd sides"),
        (
            {"template_zoom": {"px": 32}},
            "template patches of 31 px per s_z of context 0.5; this training needs 32",
        ),
        ({"search_zoom": {"context": 0.6}}, "search patches of .* context 0.6"),
        ({"search_zoom": {"factor": 1.5}}, r"needs 31 px per 1.5 s_z"),
    ],
)
def test_training_that_needs_more_than_the_pack_has_is_refused(
    sources, change, message
):
    spec = changed(SPEC, **change)
    for read in (take, read_fixed):
        with pytest.raises(InputError, match=message) as refused:
            read(sources[1][:1], 1, spec=spec)
        assert "\n" not in str(refused.value)


def test_a_pack_of_crops_by_area_serves_equal_scales_alone(sources, tmp_path):
    # 15.5 px per sqrt(w h) in the template, 63 / 4 in the search patch.
    raw, area = sources[0][0], AreaCrop(template=2.0, search=4.0)
    experiment = packs.cropped_by(area)
    exact = PackConfig(encoding="raw")
    packed = packs.pack(raw, tmp_path / "pack", experiment=experiment, config=exact)
    spec = patch_spec(experiment)
    assert_same(take((raw,), 2, spec=spec), take((packed,), 2, spec=spec))
    twice = changed(
        spec,
        template_zoom={"px": 62, "factor": 4.0},
        search_zoom={"px": 126, "factor": 8.0},
    )
    take((packed,), 1, spec=twice)
    wider = changed(spec, search_zoom={"factor": 5.0})
    message = r"serves search .* 63 px per 4 sqrt\(w h\); .* needs 63 px per 5 sqrt"
    with pytest.raises(InputError, match=message):
        take((packed,), 1, spec=wider)
    with pytest.raises(InputError, match="serves search patches up to"):
        take((packed,), 1, spec=changed(spec, search=2))
    with pytest.raises(InputError, match=r"template patches of 31 px per 2 sqrt"):
        take((packed,), 1)


def read_fixed(sources, steps, *, spec):
    config = DataConfig(sources=sources)
    return fixed_batches(read_sources(config)[0], config, spec, seed=0, examples=steps)


def test_a_small_set_of_a_pack_is_uniform_over_categories(sources):
    config = DataConfig(sources=sources[1][:1])
    sequences, _ = read_sources(config)
    order = order_by_class(sequences)
    assert [len(members) for members in order.members] == [3, 2]
    small = read_small_set(sequences, config, SPEC, pairs=24, seed=0)
    raw_config = DataConfig(sources=sources[0][:1])
    raw = read_small_set(
        read_sources(raw_config)[0], raw_config, SPEC, pairs=24, seed=0
    )
    assert_same([small], [raw], exact=False)


def damaged(sources, tmp_path, name, change):
    """A copy of a pack with one file changed."""
    source = packs.copy_of(sources[1][0], tmp_path / "pack")
    path = next((tmp_path / "pack").glob(name))
    path.write_bytes(change(path.read_bytes()))
    return source


def without_most(data):
    """Zeros after a quarter; shards end in padding, where damage does not show."""
    return data[: len(data) // 4] + bytes(len(data) - len(data) // 4)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("pack.json", lambda b: b[:-9], "pack.json: not JSON"),
        ("pack.json", lambda b: b"[" * 200_000, "pack.json: nested over 64"),
        ("pack.json", lambda b: b.replace(b'"format": 4', b'"format": 9'), "format 9"),
        (
            "pack.json",
            lambda b: b.replace(b'"format": 4', b'"format": 2'),
            "format 2, this version reads 4; pack the data again",
        ),
        (
            "pack.json",
            lambda b: b.replace(b'"format": 4', b'"format": 3'),
            "format 3 has no checksums, .* same dst-jax data pack again, which adds",
        ),
        (
            "pack.json",
            lambda b: b.replace(b'"quality": 95', b'"quality": 94'),
            "pack.json: was changed after it was written; restore the file",
        ),
        ("index.npz", lambda b: b[: len(b) // 2], r"index.npz is damaged \(\d+ bytes"),
        ("index.npz", lambda b: b"", r"index.npz is damaged \(0 bytes of"),
        ("index.npz", lambda b: b[:99] + b"?" + b[100:], "damaged .not the content"),
        ("*array_record*", lambda b: b[:-1], r"has \d+ bytes of \d+"),
    ],
)
def test_a_damaged_pack_is_one_line(sources, tmp_path, name, change, message):
    source = damaged(sources, tmp_path, name, change)
    with pytest.raises(InputError, match=message) as refused:
        take((source,), 1)
    assert "\n" not in str(refused.value)


def test_a_damaged_record_surfaces_in_the_caller(sources, tmp_path):
    source = damaged(sources, tmp_path, "*array_record*", without_most)
    with pytest.raises(InputError, match=r"of shard .* is damaged"):
        take((source,), 20)


def test_verification_decodes_every_record(sources, tmp_path, capsys):
    whole = sources[1][0]
    assert main(["data", "verify", whole]) == 0
    ticks = []
    pack = open_pack(whole)
    assert pack.damaged(tick=lambda *done: ticks.append(done)) == []
    count = len(pack.records)
    assert ticks == [(n + 1, count) for n in range(count)]
    assert f"{count} records decoded; 0 damaged" in capsys.readouterr().out

    bad = damaged(sources, tmp_path, "*array_record*", without_most)
    assert main(["data", "verify", bad]) == 2
    said = capsys.readouterr().err.strip()
    assert "\n" not in said and f"of {count} are damaged" in said


TINY = cv2.imencode(".jpg", np.zeros((5, 5, 3), np.uint8))[1].tobytes()


@pytest.mark.parametrize("stored", [[TINY], [TINY[:20]], [b"no image"], [b""], []])
@pytest.mark.parametrize("encoding", ["jpeg", "raw"])
def test_one_record_in_the_middle_is_found(
    sources, tmp_path, monkeypatch, stored, encoding
):
    config = PackConfig(encoding=encoding)
    packed = packs.pack(sources[0][0], tmp_path / "pack", config=config)
    whole = Records.__getitem__
    patch = SimpleNamespace(bytes_list=SimpleNamespace(value=stored))

    def fields(records, number):
        found = whole(records, number)
        return {**found, "search_patch": patch} if number == 3 else found

    monkeypatch.setattr(Records, "__getitem__", fields)
    (said,) = open_pack(packed).damaged()
    assert "search patch of record 3 is no image of" in said


def test_a_folder_without_a_pack_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"there is no pack \(pack.json\)"):
        open_pack(f"packed:{tmp_path}")


def test_packing_and_reading_need_no_tensorflow(sources, tmp_path):
    program = [sys.executable, "-c", WITHOUT_TENSORFLOW, sources[0][0]]
    done = subprocess.run(
        [*program, str(tmp_path / "pack")], cwd=ROOT, capture_output=True, text=True
    )
    side = SPEC.search.patch_px
    assert done.stdout.strip() == f"(8, {side}, {side}, 3) False", done.stderr
