"""A small training set is held whole in memory and drawn uniformly over classes."""

import collections.abc
import concurrent.futures
import functools
from collections.abc import Callable, Iterator

import numpy as np

from dst_jax.data.examples import HostBatch, PatchReader
from dst_jax.data.pairs import Pair, PairSampler, SourceOrder
from dst_jax.data.pipeline import DataConfig, PatchSpec
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError


def order_by_class(sequences: collections.abc.Sequence[Sequence]) -> SourceOrder:
    """Returns an order in which categories take turns, and sequences within each.

    Sequences without a category count as one class.

    Raises:
      InputError: If there is no sequence.
    """
    if not sequences:
        raise InputError("no training sequence is left; give a data set with targets.")
    classes: dict[str, list[int]] = {}
    for index, sequence in enumerate(sequences):
        classes.setdefault(sequence.category, []).append(index)
    members = tuple(tuple(classes[name]) for name in sorted(classes))
    return SourceOrder(members, tuple(range(len(members))))


def read_small_set(
    sequences: collections.abc.Sequence[Sequence],
    config: DataConfig,
    spec: PatchSpec,
    *,
    pairs: int,
    seed: int,
    advance: Callable[[], None] = lambda: None,
) -> HostBatch:
    """Reads `pairs` pairs, in which all categories are equally frequent.

    Args:
      sequences: Sequences that each have a visible frame on disk or in a pack.
      config: Settings of gap, negatives, threads and cache.
      spec: Sizes of the patches.
      pairs: Number of pairs.
      seed: Seed of the set; pair i is a function of (seed, i).
      advance: Function that is called once for each pair.

    Returns:
      The entries of a host batch, with a leading axis of `pairs`.

    Raises:
      InputError: If a frame cannot be read.
    """
    order = order_by_class(sequences)
    reader = PatchReader(sequences, spec, cache_mb=config.cache_mb)
    sampler = PairSampler(sequences, config.pairs(), seed=seed, order=order)
    drawn = sampler.draw(range(pairs))
    # Threads write in place: a list of examples beside it would take twice the memory.
    whole = {
        **reader.empty(pairs),
        "is_negative": drawn.is_negative,
        "mask": np.ones(pairs, np.float32),
        "index": np.arange(pairs, dtype=np.int32),
    }

    def one(index: int, pair: Pair) -> None:
        reader.read_pair(whole, index, pair, index)
        advance()

    with concurrent.futures.ThreadPoolExecutor(max(config.threads, 1)) as pool:
        for _ in pool.map(one, range(pairs), drawn.rows()):
            pass
    return whole


def small_batches(
    whole: HostBatch, *, batch: int, steps: int, seed: int
) -> Iterator[HostBatch]:
    """Yields full batches of a small set, in a fresh order for each pass over it.

    Args:
      whole: The set, as from `read_small_set`.
      batch: Pairs per batch.
      steps: Number of batches.
      seed: Seed of the orders.

    Yields:
      Batches; their `index` counts on from pass to pass, so that each pass augments a
      pair differently.

    Raises:
      InputError: If the set has fewer pairs than a batch.
    """
    pairs = len(whole["index"])
    per_pass = pairs // batch
    if per_pass < 1:
        raise InputError(f"{pairs} pairs make no batch of {batch}; use more pairs.")
    for step in range(steps):
        lap, place = divmod(step, per_pass)
        order = _order(seed, lap, pairs)[place * batch : (place + 1) * batch]
        part = {name: values[order] for name, values in whole.items()}
        yield {**part, "index": part["index"] + np.int32(lap * pairs)}


@functools.lru_cache(maxsize=4)
def _order(seed: int, lap: int, pairs: int) -> np.ndarray:
    return np.random.default_rng((seed, lap, pairs)).permutation(pairs)
