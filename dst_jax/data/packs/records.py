"""Records on disk: a TFDS data set in ArrayRecord shards, without TensorFlow.

TFDS encodes images with TensorFlow; here it gets their bytes instead. TFDS provides the
schema, the protocol buffer of a record, and the two JSON files that
`tfds.builder_from_directory` opens.
"""

import contextlib
import dataclasses
import functools
import pathlib
import threading
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from dst_jax.data.packs.codec import PatchEncoding
from dst_jax.errors import InputError
from dst_jax.files import whole_file
from dst_jax.require import require

NAME, SPLIT, VERSION = "dst_jax_pack", "train", "1.0.0"
# Each record is a group of its own, so that any can be read alone. Compression would
# not shrink JPEG further, and raw patches are meant to be read without work.
_WRITER = "group_size:1,uncompressed"
# Access is random, so the reader neither reads ahead nor has threads of its own.
_READER = "readahead_buffer_size:0,max_parallelism:0"
_DESCRIPTION = "Target-centred context patches of annotated video, by dst-jax."

Record = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Schema:
    """The fields of a record.

    Attributes:
      template_patch_px: Side of the template patch, pixels.
      search_patch_px: Side of the search patch, pixels.
      encoding: Encoding of both patches.
    """

    template_patch_px: int
    search_patch_px: int
    encoding: PatchEncoding = "jpeg"

    def features(self) -> Any:
        """Returns the schema as TFDS knows it."""
        # TFDS takes seconds to load, and only packed data need it.
        import tensorflow_datasets as tfds

        kinds = tfds.features

        def patch(side: int, doc: str) -> Any:
            shape = (side, side, 3)
            if self.encoding == "raw":
                pixels = {"dtype": np.uint8, "encoding": kinds.Encoding.BYTES}
                return kinds.Tensor(shape=shape, **pixels, doc=doc)
            return kinds.Image(shape=shape, encoding_format=self.encoding, doc=doc)

        def numbers(shape: tuple[int, ...], dtype: Any, doc: str) -> Any:
            return kinds.Tensor(shape=shape, dtype=dtype, doc=doc)

        return kinds.FeaturesDict(
            {
                "search_patch": patch(self.search_patch_px, "target in the middle"),
                "template_patch": patch(self.template_patch_px, "the target nearer"),
                "box": numbers((4,), np.float32, "cx, cy, w, h in the search patch"),
                "frame_box": numbers((4,), np.float32, "cx, cy, w, h in the frame"),
                "visible": numbers((), np.bool_, "whether training may use it"),
                "fill_rgb": numbers((3,), np.float32, "the frame's mean colour"),
                "px_scale": numbers((), np.float32, "search patch px per frame px"),
                "template_px_scale": numbers((), np.float32, "the same, template"),
                "frame_size": numbers((2,), np.int32, "height, width"),
                "frame_number": numbers((), np.int32, "in its track, from 0"),
                "video": kinds.Text(doc="shared by the tracks of one video"),
                "track": kinds.Text(doc="one target in one video"),
                "category": kinds.Text(doc="kind of object, or empty"),
                "source": kinds.Text(doc="the data set as it was given"),
            }
        )

    def serializer(self) -> Callable[[Record], bytes]:
        """Returns a function that turns records into bytes.

        The patches of a record must come from `encode_patch`.
        """
        from tensorflow_datasets.core.example_serializer import ExampleSerializer

        features = self.features()
        inner = ExampleSerializer(features.get_serialized_info())

        def serialize(record: Record) -> bytes:
            texts = {k: _as_text(v) for k, v in record.items() if isinstance(v, str)}
            example = inner.get_tf_example(features.encode_example({**record, **texts}))
            # The order of fields would else be another in every process.
            return example.SerializeToString(deterministic=True)

        return serialize


def _as_text(name: str) -> str:
    """Returns a name with escapes for bytes that are not UTF-8, which no text holds."""
    return name.encode(errors="backslashreplace").decode()


def shard_name(index: int, count: int) -> str:
    """Returns the file name of a shard, as TFDS expects it.

    Example:
      >>> shard_name(3, 12)
      'dst_jax_pack-train.array_record-00003-of-00012'
    """
    return f"{NAME}-{SPLIT}.array_record-{index:05d}-of-{count:05d}"


def write_shard(path: pathlib.Path, records: Iterable[bytes]) -> None:
    """Writes a shard, whole or not at all.

    Raises:
      InputError: If it cannot be written, for example for lack of space. An error that
        `records` raises passes through.
    """
    from array_record.python import array_record_module  # pyright: ignore[reportAttributeAccessIssue]

    with whole_file(path) as temporary:
        writer = _written(
            path, array_record_module.ArrayRecordWriter, str(temporary), _WRITER
        )
        try:
            for record in records:
                _written(path, writer.write, record)
                if not writer.ok():  # closing tells why
                    break
            _written(path, writer.close)
        finally:
            if writer.is_open():
                # `records` raised an error, which one of the writer would hide.
                with contextlib.suppress(Exception):
                    writer.close()


def _written(path: pathlib.Path, call: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"shard {path} cannot be written ({_first_line(error)}); make room or "
            "mend the folder's rights, then run again to go on."
        ) from None


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0].rstrip(". ")


def write_metadata(
    folder: pathlib.Path, schema: Schema, *, shard_records: Iterable[int], size: int
) -> None:
    """Writes `dataset_info.json` and `features.json` beside the shards.

    Args:
      folder: Folder of the shards.
      schema: Schema of their records.
      shard_records: Number of records of each shard, in order.
      size: Size of all shards, bytes.
    """
    import tensorflow_datasets as tfds

    split = tfds.core.SplitInfo(
        name=SPLIT, shard_lengths=list(shard_records), num_bytes=size
    )
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=schema.features(),
        split_infos=[split],
        version=VERSION,
        check_data=False,  # it would read the first record with TensorFlow
        description=_DESCRIPTION,
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Shard:
    """A shard as its pack lists it.

    Attributes:
      name: Name of the file.
      records: Number of its records.
      size: Size of the file, bytes.
    """

    name: str
    records: int
    size: int

    def __post_init__(self):
        require(1 <= self.records < 2**31, self, "records", "must be from 1 to 2^31")
        require(0 <= self.size < 2**50, self, "size", "must be from 0 to 2^50")


class Records:
    """Random access to the records of all shards; several threads may share it.

    Args:
      folder: Folder of the shards.
      shards: All shards, in order; each is checked to be there in full length.
      checksums: CRC-32 of each record, uint32 [records].

    Raises:
      InputError: If a shard is missing or has another length.
    """

    def __init__(
        self, folder: pathlib.Path, shards: tuple[Shard, ...], checksums: np.ndarray
    ):
        self._folder, self._shards, self._checksums = folder, shards, checksums
        self._ends = np.cumsum([shard.records for shard in shards])
        for shard in shards:
            self._check(shard)
        self._lock = threading.Lock()
        self._readers: list[Any] = [None] * len(shards)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getstate__(self) -> dict[str, Any]:
        # Open files cannot be sent to another process.
        files = {"folder": self._folder, "shards": self._shards}
        return {**files, "checksums": self._checksums}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)

    def _check(self, shard: Shard) -> None:
        path = self._folder / shard.name
        try:
            size = path.stat().st_size
        except OSError as error:
            raise InputError(
                f"shard {path} of {len(self._shards)} cannot be read "
                f"({error.strerror}); restore the file, or pack again as before."
            ) from None
        if size != shard.size:
            raise InputError(
                f"shard {path} has {size} bytes of {shard.size}; restore the file, or "
                "pack again as before."
            )

    def __getitem__(self, number: int) -> Record:
        """Returns the fields of record `number`, as `tf.train.Feature` buffers.

        Raises:
          InputError: If the record is damaged.
        """
        shard = int(np.searchsorted(self._ends, number, side="right"))
        within = number - int(self._ends[shard] - self._shards[shard].records)
        try:
            encoded = self._reader(shard).read([within])[0]
            if zlib.crc32(encoded) != self._checksums[number]:
                raise ValueError("its checksum is another")
            return _example_type().FromString(encoded).features.feature
        except Exception as error:
            raise InputError(
                f"record {within} of shard {self._folder / self._shards[shard].name} "
                f"is damaged ({_first_line(error)}); restore the file, or "
                "remove it and pack again as before."
            ) from None

    def _reader(self, shard: int) -> Any:
        reader = self._readers[shard]
        if reader is None:
            with self._lock:
                path = self._folder / self._shards[shard].name
                reader = self._readers[shard] or _open_shard(path)
                self._readers[shard] = reader
        return reader


def _open_shard(path: pathlib.Path) -> Any:
    from array_record.python import array_record_module  # pyright: ignore[reportAttributeAccessIssue]

    return array_record_module.ArrayRecordReader(
        str(path), _READER, file_reader_buffer_size=2**15
    )


def shard_checksums(path: pathlib.Path, records: int) -> np.ndarray:
    """Reads a shard that was written and returns the CRC-32 of each record, uint32.

    Args:
      path: The shard.
      records: Number of records that it must have.

    Raises:
      InputError: If it has another number of records, or one is damaged.
    """
    try:
        reader = _open_shard(path)
        if reader.num_records() != records:
            raise ValueError(f"{reader.num_records()} records of {records}")
        found = [zlib.crc32(reader.read([number])[0]) for number in range(records)]
    except Exception as error:
        raise InputError(
            f"shard {path} is damaged ({_first_line(error)}); remove it and run again "
            "to go on."
        ) from None
    return np.array(found, np.uint32)


@functools.cache
def _example_type() -> Any:
    from tensorflow_datasets.proto import tf_example_pb2

    return tf_example_pb2.Example  # pyright: ignore[reportAttributeAccessIssue]
