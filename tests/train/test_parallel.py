"""What a mapped step does with trees that come again."""

import pytest

from dst_jax.train.parallel import placing_once

pytestmark = pytest.mark.optax


def test_a_tree_is_placed_anew_only_when_another_one_came_between():
    seen = []

    def place(tree):
        seen.append(tree)
        return len(seen)

    place_once, one, other = placing_once(place), {"a": 1}, {"a": 1}
    calls = [place_once(tree) for tree in (one, one, other, other, one)]
    # Equal is not enough: the two trees may be changed apart.
    assert calls == [1, 1, 2, 2, 3]
