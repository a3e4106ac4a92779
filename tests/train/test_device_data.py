"""A data set on the device: the host's batches, bit for bit."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest

from dst_jax.data.pipeline import DataConfig, train_batches
from dst_jax.errors import InputError
from dst_jax.train import (
    AXIS_NAME,
    Constants,
    data_parallel,
    device_data,
    device_set,
    gathering,
)
from tests.data.toy import patch_pair, write_sequences

SPEC = patch_pair(12, 20, template_px=10)
CONFIG = DataConfig(sources=("toy",), batch=8, negative_share=0.25)


@pytest.fixture(scope="module")
def sequences(tmp_path_factory):
    made = write_sequences(tmp_path_factory.mktemp("toy"), videos=5)
    hidden = np.array([True, False, True, True])
    return [dataclasses.replace(made[0], visible=hidden), *made[1:]]


def from_host(sequences, steps, **options):
    stream = train_batches(sequences, CONFIG, SPEC, seed=3, **options)
    batches = list(itertools.islice(stream, steps))
    stream.close()
    return batches


def from_device(sequences, steps, **options):
    patches, rows = device_set(sequences, CONFIG, SPEC, seed=3, **options)
    gather = jax.jit(device_data.gather)
    return [gather(patches, batch) for batch in itertools.islice(rows, steps)]


@pytest.mark.parametrize(
    "options",
    [{}, {"start_step": 5}, {"start_step": 2, "process_index": 1, "process_count": 2}],
)
def test_batches_are_those_of_the_host(sequences, options, monkeypatch):
    monkeypatch.setattr(device_data, "_STEPS_AHEAD", 3)
    host = from_host(sequences, 7, **options)
    device = from_device(sequences, 7, **options)
    for ours, theirs in zip(device, host, strict=True):
        assert ours.keys() == theirs.keys()
        for name, values in theirs.items():
            assert ours[name].dtype == values.dtype
            np.testing.assert_array_equal(ours[name], values, err_msg=name)


def test_the_patches_lie_on_every_device(sequences):
    patches, _ = device_set(sequences, CONFIG, SPEC, seed=0)
    for values in patches.values():
        assert len(values.sharding.device_set) == jax.local_device_count()
        assert {s.data.shape for s in values.addressable_shards} == {values.shape}


def test_a_step_takes_the_same_from_rows_as_from_patches(sequences):
    def step(state, constants, batch):
        total = jax.lax.psum(batch["search_patch"].astype("float32").sum(), AXIS_NAME)
        return state + constants.teacher["weight"], total

    patches, rows = device_set(sequences, CONFIG, SPEC, seed=3)
    fixed = Constants({"weight": np.float32(2.0)}, patches)
    (host,), batch = from_host(sequences, 1), next(rows)
    here = data_parallel(gathering(step))(np.float32(1.0), fixed, batch)
    there = data_parallel(step)(np.float32(1.0), fixed, host)
    assert float(here[0]) == float(there[0]) == 3.0
    assert float(here[1]) == float(there[1]) > 0.0


def test_what_does_not_fit_is_refused(sequences, monkeypatch):
    # Four CPU devices and the host: 5 copies of 19 patches of 12 and 20 px.
    needed = 5 * 19 * 3 * (12 * 12 + 20 * 20)
    monkeypatch.setattr(device_data, "_free_bytes", lambda device: needed / 0.79)
    device_set(sequences, CONFIG, SPEC, seed=0)
    monkeypatch.setattr(device_data, "_free_bytes", lambda device: needed / 0.81)
    with pytest.raises(InputError, match=r'data.cache="device": 19 patches take'):
        device_set(sequences, CONFIG, SPEC, seed=0)
    with pytest.raises(InputError, match="does not divide over 3 processes"):
        device_set(sequences, CONFIG, SPEC, seed=0, process_count=3)
