"""The small set: every class equally often, every pass in its own order."""

import dataclasses

import numpy as np
import pytest

from dst_jax.data.pairs import PairConfig, PairSampler
from dst_jax.data.pipeline import DataConfig
from dst_jax.data.readers import read_sequences
from dst_jax.data.small_set import order_by_class, read_small_set, small_batches
from dst_jax.data.synthetic.dataset import SyntheticConfig, write_synthetic
from dst_jax.errors import InputError
from tests.data.toy import patch_pair

PATCHES = patch_pair(35, 55, template_px=31)


@pytest.fixture(scope="module")
def sequences(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "train"
    config = SyntheticConfig(videos=5, length=4, height=64, width=80)
    write_synthetic(folder, config, seed=0)
    found = read_sequences(f"got10k:{folder}")
    names = ["cat", "cat", "cat", "dog", ""]
    return [
        dataclasses.replace(s, category=n) for s, n in zip(found, names, strict=True)
    ]


def test_classes_take_turns_and_so_do_their_members(sequences):
    order = order_by_class(sequences)
    sampler = PairSampler(sequences, PairConfig(), seed=1, order=order)
    counts = np.bincount(sampler.draw(range(90)).template_sequence, minlength=5)
    assert counts.tolist() == [10, 10, 10, 30, 30]
    with pytest.raises(InputError, match="no training sequence"):
        order_by_class([])


def test_a_pair_is_a_function_of_seed_and_number_alone(sequences):
    config = DataConfig(sources=("got10k:x",), threads=2)
    few = read_small_set(sequences, config, PATCHES, pairs=4, seed=7)
    calls = []
    many = read_small_set(
        sequences,
        dataclasses.replace(config, threads=0),
        PATCHES,
        pairs=9,
        seed=7,
        advance=lambda: calls.append(1),
    )
    assert len(calls) == 9
    for name, values in few.items():
        np.testing.assert_array_equal(values, many[name][:4])
    assert many["template_patch"].shape == (9, 35, 35, 3)
    assert many["index"].tolist() == list(range(9))


def test_every_pass_shows_each_pair_once_under_a_new_number():
    whole = {"index": np.arange(6, dtype=np.int32), "value": np.arange(6) * 10}
    batches = list(small_batches(whole, batch=2, steps=6, seed=0))
    first, second = batches[:3], batches[3:]
    for lap, batches in enumerate((first, second)):
        numbers = np.concatenate([b["index"] for b in batches])
        assert sorted(numbers) == list(range(6 * lap, 6 * lap + 6))
        assert (np.concatenate([b["value"] for b in batches]) == numbers % 6 * 10).all()
    orders = [np.concatenate([b["value"] for b in part]) for part in (first, second)]
    assert orders[0].tolist() != orders[1].tolist()
    with pytest.raises(InputError, match="make no batch of 7"):
        next(small_batches(whole, batch=7, steps=1, seed=0))
