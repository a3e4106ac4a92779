"""Packs that were damaged or made up: refused in one line, soon, and never believed."""

import io
import json
import random
import time
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dst_jax.data.packs.index import write_index
from dst_jax.data.packs.packed import open_pack, read_pack
from dst_jax.data.patches import ROLES
from dst_jax.digests import bytes_sha256, json_sha256
from dst_jax.errors import InputError
from tests.data import small_packs as packs

FEW = settings(max_examples=60, deadline=2000)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A pack of nine records, small enough to read it all again and again."""
    root = tmp_path_factory.mktemp("whole")
    return packs.pack(packs.write_raw(root / "raw"), root / "pack")


@pytest.fixture
def folder(whole, tmp_path):
    packs.copy_of(whole, tmp_path / "pack")
    return tmp_path / "pack"


def everything(source):
    """All that training can see of a pack."""
    sequences, report = read_pack(source)
    pack = open_pack(source)
    tracks = [
        (s.name, s.video, s.category, s.size, s.frames, s.visible.tolist())
        for s in sequences
    ]
    boxes = np.concatenate([s.boxes for s in sequences]).tobytes()
    pixels = []
    for record in range(len(pack.records)):
        for role in ROLES:
            side = pack.serves.of(role).patch_px
            out = np.empty((side, side, 3), np.uint8)
            pixels.append((pack.read(record, role, out=out).tobytes(), out.tobytes()))
    return tracks, boxes, pixels, pack.serves, pack.encoding, report


def sign(folder, *, card=None):
    """Gives a card the digests that fit, as whoever made it up would."""
    path = folder / "pack.json"
    values = json.loads(path.read_text()) if card is None else card
    del values["digest"]
    content = (folder / "index.npz").read_bytes()
    listed = {"size": len(content), "sha256": bytes_sha256(content)}
    values["index"] = values["index"] if card else listed
    values["digest"] = json_sha256(values)
    path.write_text(json.dumps(values))


def flipped(content, rng):
    place, bit = rng.randrange(len(content)), rng.randrange(8)
    return content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]


@pytest.mark.parametrize("name", ["pack.json", "index.npz", "*array_record*"])
def test_of_100_bit_flips_none_is_believed(whole, folder, name):
    path, rng = next(folder.glob(name)), random.Random(name)
    content, expected = path.read_bytes(), everything(whole)
    source, refused = f"packed:{folder}", 0
    for _ in range(100):
        path.write_bytes(flipped(content, rng))
        try:
            # Paths of the pack itself are no part of what it holds.
            assert everything(source) == expected
        except InputError as error:
            refused += 1
            assert str(folder) in str(error) and "\n" not in str(error)
    assert refused > 20


@pytest.mark.parametrize("value", [None, "text", 3, [], {}, -1, 0, 1.5, 10**6, 10**400])
@pytest.mark.parametrize(
    "place",
    [
        ("shards",),
        ("shards", 0),
        ("shards", 0, "name"),
        ("shards", 0, "records"),
        ("shards", 0, "size"),
        ("serves", "search", "patch_px"),
        ("serves", "template", "zoom"),
        ("serves", "template", "zoom", "context"),
        ("encoding",),
        ("augment",),
        ("index",),
        ("index", "sha256"),
        ("digest",),
        ("format",),
    ],
)
def test_a_card_that_was_made_up_is_one_line(folder, place, value):
    card = json.loads((folder / "pack.json").read_text())
    inner = card
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    if place not in (("digest",), ("format",)):
        sign(folder, card=card)
    else:
        (folder / "pack.json").write_text(json.dumps(card))
    try:
        everything(f"packed:{folder}")
    except InputError as error:
        assert "\n" not in str(error) and len(str(error)) < 3000
    else:
        # Settings for messages, a number that is right or one of no consequence.
        assert place[-1] in ("augment", "context")


@pytest.mark.parametrize("name", ["../x", "a\0b", "/etc/passwd", "", "shard", 7])
def test_a_card_names_no_other_files(folder, name):
    card = json.loads((folder / "pack.json").read_text())
    card["shards"][0]["name"] = name
    sign(folder, card=card)
    with pytest.raises(InputError, match=r"pack.json: shards\[0\].name="):
        open_pack(f"packed:{folder}")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@FEW
@given(data=st.data())
def test_any_value_in_a_card_is_refused_or_harmless(whole, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("fuzz") / "pack"
    packs.copy_of(whole, folder)
    card = json.loads((folder / "pack.json").read_text())
    fields = ("serves", "augment", "encoding", "shards", "index")
    field = data.draw(st.sampled_from(fields))
    card[field] = data.draw(JSON)
    sign(folder, card=card)
    try:
        open_pack(f"packed:{folder}")
    except InputError as error:
        assert "pack.json" in str(error)
    else:
        assert field == "augment"


def bomb(name, megabytes):
    """An archive whose entry decompresses to a thousand times its size."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.npy", bytes(megabytes * 2**20))
    return content.getvalue()


def array_file(header, body=b""):
    text = header.encode().ljust(118) + b"\n"
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        entry = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body
        archive.writestr("track.npy", entry)
    return content.getvalue()


HUGE = "{'descr': '<U9', 'fortran_order': False, 'shape': (1000000000000,), }"
DEEP = "(" * 117
PICKLE = "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"


@pytest.mark.parametrize(
    "content",
    [
        bomb("track", 256),
        bomb("visible", 256),
        array_file(HUGE),
        array_file(HUGE.replace("1000000000000", "-1")),
        array_file(HUGE.replace("<U9", "<U0")),
        array_file(HUGE.replace("(1000000000000,)", "(2, 2)")),
        array_file(DEEP),
        array_file(PICKLE, b"\x80\x04."),
        array_file("nonsense"),
        b"",
        b"PK\x05\x06" + bytes(18),
        b"no archive",
    ],
)
def test_an_index_that_was_made_up_is_refused_soon_and_in_little_memory(
    folder, content
):
    (folder / "index.npz").write_bytes(content)
    sign(folder)
    tracemalloc.start()
    began = time.perf_counter()
    with pytest.raises(InputError, match=r"index.npz is damaged \(.*\); restore") as e:
        read_pack(f"packed:{folder}")
    seconds, (_, peak) = time.perf_counter() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "\n" not in str(e.value) and seconds < 2.0 and peak < 2**25


def index_of(folder):
    with np.load(folder / "index.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("length", lambda a: a + 1, "length does not add up to"),
        ("length", lambda a: a * 2**59, "length does not add up to"),
        ("length", lambda a: a - a, "length does not add up to"),
        ("length", lambda a: a[:-1], "lines of"),
        ("length", lambda a: a.astype(np.float64), "length is float64"),
        ("visible", lambda a: a[:-1], "lines of"),
        ("visible", lambda a: a | True, "crc32 has"),
        ("box", lambda a: a[:, :3], r"box is float32 \(\d+, 3\)"),
        ("box", lambda a: np.asfortranarray(a), "box is float32"),
        ("box", lambda a: a * np.nan, "marked visible where its box is NaN"),
        ("track", lambda a: a[:1], "track has 1 lines"),
        ("track", lambda a: a.astype(np.bytes_), "track is"),
        ("size", lambda a: a[:, 0], "size is int32"),
        ("crc32", lambda a: a[:-1], "crc32 has"),
        ("crc32", lambda a: a[:0], "crc32 has 0"),
    ],
)
def test_arrays_that_do_not_fit_together_are_named(folder, name, change, message):
    arrays = index_of(folder)
    write_index(folder / "index.npz", {**arrays, name: change(arrays[name])})
    sign(folder)
    with pytest.raises(InputError, match=message):
        read_pack(f"packed:{folder}")


def test_an_index_of_another_pack_is_refused(folder):
    card = json.loads((folder / "pack.json").read_text())
    card["shards"][0]["records"] -= 1
    sign(folder, card=card)
    with pytest.raises(InputError, match="do not belong together"):
        read_pack(f"packed:{folder}")


def test_an_array_that_is_missing_is_named(folder):
    arrays = index_of(folder)
    del arrays["crc32"]
    write_index(folder / "index.npz", arrays)
    sign(folder)
    with pytest.raises(InputError, match=r"There is no item named 'crc32.npy'"):
        read_pack(f"packed:{folder}")


@FEW
@given(content=st.binary(max_size=300))
def test_any_bytes_are_no_index(whole, tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("fuzz") / "pack"
    packs.copy_of(whole, folder)
    (folder / "index.npz").write_bytes(content)
    sign(folder)
    with pytest.raises(InputError, match=r"index.npz is damaged"):
        read_pack(f"packed:{folder}")


@FEW
@given(content=st.binary(max_size=300))
def test_any_bytes_are_no_shard(whole, tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("fuzz") / "pack"
    packs.copy_of(whole, folder)
    path = next(folder.glob("*array_record*"))
    # As long as before, so that it is opened.
    size = path.stat().st_size
    path.write_bytes(
        (content * (size // max(len(content), 1) + 1) + bytes(size))[:size]
    )
    with pytest.raises(InputError, match=r"record 0 of shard .* is damaged"):
        everything(f"packed:{folder}")
