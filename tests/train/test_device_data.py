"""A data set on the device: the host's batches, bit for bit."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest

from dst_jax.data.pipeline import DataConfig, PatchSpec, train_batches
from dst_jax.errors import InputError
from dst_jax.train import device_batches, device_data
from tests.data.toy import write_sequences

SPEC = PatchSpec(template_patch_px=12, search_patch_px=20, template_px=10)
CONFIG = DataConfig(sources=("toy",), batch=8, negative_share=0.25)


@pytest.fixture(scope="module")
def sequences(tmp_path_factory):
    made = write_sequences(tmp_path_factory.mktemp("toy"), videos=5)
    hidden = np.array([True, False, True, True])
    return [dataclasses.replace(made[0], visible=hidden), *made[1:]]


def take(make, sequences, steps, **options):
    stream = make(sequences, CONFIG, SPEC, seed=3, **options)
    batches = list(itertools.islice(stream, steps))
    stream.close()
    return batches


@pytest.mark.parametrize(
    "options",
    [{}, {"start_step": 5}, {"start_step": 2, "process_index": 1, "process_count": 2}],
)
def test_batches_are_those_of_the_host(sequences, options):
    host = take(train_batches, sequences, 4, **options)
    device = take(device_batches, sequences, 4, **options)
    for ours, theirs in zip(device, host, strict=True):
        assert ours.keys() == theirs.keys()
        for name, values in theirs.items():
            assert ours[name].dtype == values.dtype
            np.testing.assert_array_equal(ours[name], values, err_msg=name)


def test_examples_are_spread_over_the_devices(sequences):
    (batch,) = take(device_batches, sequences, 1)
    assert len(batch["search_patch"].sharding.device_set) == jax.local_device_count()
    shapes = {s.data.shape for s in batch["search_patch"].addressable_shards}
    assert shapes == {(8 // jax.local_device_count(), 20, 20, 3)}


def test_what_does_not_fit_is_refused(sequences, monkeypatch):
    monkeypatch.setattr(device_data, "_free_bytes", lambda device: 30_000.0)
    with pytest.raises(InputError, match=r'data.cache="device": 19 patches take'):
        device_batches(sequences, CONFIG, SPEC, seed=0)
    with pytest.raises(InputError, match="does not divide over 3 processes"):
        device_batches(sequences, CONFIG, SPEC, seed=0, process_count=3)
