"""Shards: every record comes back, and whatever is wrong with a file is named."""

import pathlib
import pickle
import subprocess
import sys
import zlib

import numpy as np
import pytest

from dst_jax.data.packs.records import (
    Records,
    Schema,
    Shard,
    shard_checksums,
    shard_name,
    write_shard,
)
from dst_jax.errors import InputError

ROOT = pathlib.Path(__file__).parents[3]
TEXTS = [bytes([65 + i]) * (1000 + i) for i in range(7)]
DISK_FULL = """
import pathlib, resource, signal, sys
from dst_jax.data.packs.records import write_shard
from dst_jax.errors import InputError
# What a full disk does to a file of this process, as near as it can be had.
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    write_shard(pathlib.Path(sys.argv[1]) / "shard", (bytes(50_000) for _ in range(9)))
except InputError as error:
    print(error)
"""


def make_shards(folder, lengths):
    """Shards of serialized records whose only field tells their number."""
    from tensorflow_datasets.proto import tf_example_pb2, tf_feature_pb2

    def record(number):
        numbers = tf_feature_pb2.Int64List(value=[number])
        feature = {"number": tf_feature_pb2.Feature(int64_list=numbers)}
        features = tf_feature_pb2.Features(feature=feature)
        return tf_example_pb2.Example(features=features).SerializeToString()

    shards, first = [], 0
    for index, length in enumerate(lengths):
        path = folder / shard_name(index, len(lengths))
        write_shard(path, (record(first + i) for i in range(length)))
        shards.append(Shard(path.name, length, path.stat().st_size))
        first += length
    return tuple(shards)


def records_of(folder, shards):
    """All records, with checksums that are computed from what was written."""
    found = [shard_checksums(folder / shard.name, shard.records) for shard in shards]
    return Records(folder, shards, np.concatenate(found))


def number_in(record):
    return record["number"].int64_list.value[0]


def test_every_record_of_every_shard_comes_back(tmp_path):
    records = records_of(tmp_path, make_shards(tmp_path, (3, 1, 4)))
    assert len(records) == 8
    order = np.random.default_rng(0).permutation(8).tolist()
    assert [number_in(records[i]) for i in order] == order
    assert not list(tmp_path.glob(".*")), "a temporary file stayed"


def test_the_fields_of_a_record_are_in_the_order_of_their_names():
    """So a pack is the same to the last byte, whoever makes it or goes on with it."""
    schema = Schema(4, 8, "raw")
    record = {"box": [1.0] * 4, "frame_box": [1.0] * 4, "fill_rgb": [1.0] * 3}
    sides = {"search_patch": 8, "template_patch": 4}
    record |= {n: np.zeros((side, side, 3), np.uint8) for n, side in sides.items()}
    record |= dict.fromkeys(("video", "track", "category", "source"), "?")
    record |= {"visible": True, "px_scale": 1.0, "template_px_scale": 1.0}
    record |= {"frame_size": np.array([8, 9], np.int32), "frame_number": np.int32(0)}
    written = schema.serializer()(record)
    # A key of a map is field 1, of wire type 2: its length and its bytes follow.
    keys = [b"\n" + bytes([len(name)]) + name.encode() for name in sorted(record)]
    assert len(keys) == 14 and all(written.count(key) == 1 for key in keys)
    assert sorted(map(written.index, keys)) == [written.index(key) for key in keys]


def test_records_travel_to_another_process(tmp_path):
    records = records_of(tmp_path, make_shards(tmp_path, (2, 2)))
    number_in(records[0])
    assert number_in(pickle.loads(pickle.dumps(records))[3]) == 3


def test_a_missing_or_shortened_shard_is_named(tmp_path):
    shards = make_shards(tmp_path, (3, 3))
    path = tmp_path / shards[1].name
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(InputError, match=r"00001-of-00002 has \d+ bytes of .* again"):
        Records(tmp_path, shards, np.zeros(6, np.uint32))
    path.unlink()
    with pytest.raises(InputError, match=r"00001-of-00002 .*No such file.* restore"):
        Records(tmp_path, shards, np.zeros(6, np.uint32))


def test_a_damaged_record_is_named_and_the_others_are_read(tmp_path):
    # Random bytes do not occur twice: the middle record can be found and hit.
    middle = np.random.default_rng(0).bytes(2000)
    path = tmp_path / shard_name(0, 1)
    write_shard(path, [b"", middle, b""])
    sums = np.array([zlib.crc32(text) for text in (b"", middle, b"")], np.uint32)
    assert shard_checksums(path, 3).tolist() == sums.tolist()
    with pytest.raises(InputError, match=r"00000-of-00001 is damaged \(3 records of 2"):
        shard_checksums(path, 2)
    data = bytearray(path.read_bytes())
    data[data.index(middle) + 1000] ^= 1
    path.write_bytes(data)
    records = Records(tmp_path, (Shard(path.name, 3, len(data)),), sums)
    with pytest.raises(InputError, match=r"00000-of-00001 is damaged .* remove it and"):
        shard_checksums(path, 3)
    with pytest.raises(InputError, match=r"record 1 of shard .*00000-of-00001 is dam"):
        records[1]
    assert not records[0] and not records[2]


def test_a_record_that_is_not_the_one_that_was_written_is_refused(tmp_path):
    shards = make_shards(tmp_path, (3,))
    sums = shard_checksums(tmp_path / shards[0].name, 3)
    swapped = Records(tmp_path, shards, sums[[0, 2, 1]])
    assert number_in(swapped[0]) == 0
    with pytest.raises(InputError, match=r"record 2 .* damaged \(its checksum is ano"):
        swapped[2]


@pytest.mark.parametrize("wrong", [{"records": 0}, {"records": 2**31}, {"size": -1}])
def test_a_shard_of_an_impossible_size_is_refused(wrong):
    with pytest.raises(
        InputError, match=rf"Shard.{next(iter(wrong))}=.*: must be from"
    ):
        Shard(**{"name": "x", "records": 1, "size": 1, **wrong})


def test_a_shard_is_whole_or_absent(tmp_path):
    def stopped():
        yield from TEXTS
        raise InputError("frame 7 cannot be read")

    with pytest.raises(InputError, match="frame 7"):
        write_shard(tmp_path / "shard", stopped())
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError, match=r"absent/shard"):
        write_shard(tmp_path / "absent" / "shard", TEXTS)


def test_a_full_disk_is_one_line_and_leaves_no_shard(tmp_path):
    program = [sys.executable, "-c", DISK_FULL, str(tmp_path)]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert "File too large" in done.stdout, done.stderr
    assert "run again to go on" in done.stdout and done.stdout.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_schema_serializes_what_tfds_reads_back():
    schema = Schema(template_patch_px=5, search_patch_px=9)
    record = {
        "search_patch": b"jpeg",
        "template_patch": b"smaller",
        "box": np.float32([1, 2, 3, 4]),
        "frame_box": np.float32([5, 6, 7, 8]),
        "visible": True,
        "fill_rgb": np.float32([9, 10, 11]),
        "px_scale": np.float32(0.5),
        "template_px_scale": np.float32(0.25),
        "frame_size": np.int32([30, 40]),
        "frame_number": np.int32(2),
        "video": "v",
        "track": "t",
        "category": "",
        "source": "got10k:x",
    }
    from tensorflow_datasets.core.example_parser import ExampleParserNp

    specs = schema.features().get_serialized_info()
    back = ExampleParserNp(specs).parse_example(schema.serializer()(record))
    assert back.keys() == record.keys()
    assert back["frame_size"].tolist() == [30, 40]
    assert back["search_patch"] == b"jpeg" and back["track"] == b"t"
    np.testing.assert_array_equal(back["frame_box"], record["frame_box"])
