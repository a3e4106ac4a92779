"""What the policy reads, and what actions do."""

import dataclasses

import numpy as np
import pytest

from dst_jax.arch import ConvSpec, PoolSpec, named, spec_id, tracker_cost
from dst_jax.errors import InputError
from dst_jax.search import ImpossibleError, SearchConfig, check_space, describe, shrink
from tests import networks

ALEXNET = named("siamfc-alexnet")


DEFAULT = SearchConfig()


def actions_for(parent, config=DEFAULT, **tenths):
    """All tenths 10, but for `features=[...]` or `kernel=[...]` by stage, `head=`."""
    description = describe(parent, config)
    actions = [[10] * 5 for _ in description.rows]
    columns = {"kernel": 1, "stride": 2, "features": 3, "padding": 4}
    if (head := tenths.pop("head", None)) is not None:
        actions[description.head][columns["features"]] = head
    for name, values in tenths.items():
        for row, value in zip(description.stages, values, strict=True):
            actions[row][columns[name]] = value
    return actions


def test_rows_are_primitive_layers_with_n2ns_numbers():
    description = describe(networks.TEACHER, SearchConfig())
    assert description.rows == (
        (1, 3, 2, 6, 0),
        (4, 0, 0, 6, 0),
        (3, 0, 0, 0, 0),
        (2, 3, 2, 0, 0),
        (1, 3, 1, 8, 0),
        (4, 0, 0, 8, 0),
        (3, 0, 0, 0, 0),
        (1, 1, 1, 6, 0),
    )
    assert description.stages == (0, 4, 7)
    free = np.array(description.free)
    # Kernel, features and padding of convolutions; type and stride never.
    assert free[[0, 4, 7]].tolist() == [[False, True, False, True, True]] * 3
    assert not free[[1, 2, 3, 5, 6]].any()


def test_a_region_head_is_one_more_convolution_of_free_width():
    rpn = named("siamrpn-big")
    description = describe(rpn, DEFAULT)
    assert description.head == len(description.rows) - 1
    assert description.rows[-1] == (1, 3, 1, 512, 0)
    assert description.free[-1] == (False, False, False, True, False)
    assert np.sum(description.free) == 5 * 3 + 1
    # pysot's form normalises the maps that it correlates.
    description = describe(named("siamrpn-depthwise"), DEFAULT)
    assert description.head == len(description.rows) - 3
    assert description.rows[-3:] == (
        (1, 3, 1, 256, 0),
        (4, 0, 0, 256, 0),
        (3,) + 4 * (0,),
    )
    assert not np.any(description.free[-2:])
    assert describe(ALEXNET, DEFAULT).head is None


def test_the_stand_in_of_the_region_family_is_on_the_grid():
    parent = named("siamrpn-big")
    actions = actions_for(parent, features=[2, 2, 2, 1, 2], head=3)
    assert spec_id(shrink(parent, actions, DEFAULT)) == spec_id(named("dstrpn"))


def test_a_region_head_is_chosen_as_the_layer_after_the_last():
    parent = named("mini-siamrpn")
    actions = actions_for(parent, features=[5] * 5, head=5)
    for layers, widths, features in (
        ((6,), parent.backbone.widths, 24),
        ((1,), (12, 48, 64, 64, 48), 48),
        ((), (12, 24, 32, 32, 24), 24),
    ):
        child = shrink(parent, actions, SearchConfig(layers=layers))
        assert (child.backbone.widths, child.head.features) == (widths, features)
    lowest = actions_for(parent, head=1)
    assert shrink(parent, lowest, SearchConfig(min_width=7)).head.features == 7
    assert shrink(parent, lowest, SearchConfig(min_width=3)).head.features == 4
    # Kernels of the head stay: of it only the width is free.
    kernels = SearchConfig(layers=(6,), attributes=("kernel", "padding"))
    assert not np.any(describe(parent, kernels).free)
    with pytest.raises(InputError, match="the search space is empty"):
        check_space(parent, kernels)
    with pytest.raises(InputError, match="the backbone has 5, its head is layer 6"):
        describe(parent, SearchConfig(layers=(7,)))


@pytest.mark.parametrize("name", ["siamrpn-big", "siamrpn-depthwise", "mini-siamrpn"])
def test_any_actions_keep_outputs_and_anchors_of_a_region_head(name):
    parent = named(name)
    rng = np.random.default_rng(0)
    rows = len(describe(parent, DEFAULT).rows)
    for _ in range(8):
        child = shrink(parent, rng.integers(1, 11, (rows, 5)).tolist(), DEFAULT)
        kept = dataclasses.replace(child.head, features=parent.head.features)
        assert kept == parent.head
        for pixels in (parent.input.search_px, parent.input.train_search_px):
            assert child.response_side(pixels) == parent.response_side(pixels)
        assert tracker_cost(child).parameters < tracker_cost(parent).parameters


def test_only_chosen_layers_and_attributes_are_free():
    config = SearchConfig(layers=(2,), attributes=("features",))
    free = np.array(describe(networks.TEACHER, config).free)
    assert np.argwhere(free).tolist() == [[4, 3]]
    actions = actions_for(ALEXNET, features=[5] * 5, kernel=[5] * 5)
    child = shrink(ALEXNET, actions, config)
    assert child.backbone.widths == (96, 128, 384, 384, 256)
    assert [layer.kernel for layer in child.backbone.layers] == [11, 5, 3, 3, 3]


def test_the_stand_in_dull_student_is_on_the_grid():
    actions = actions_for(ALEXNET, features=[3, 2, 3, 3, 3])
    child = shrink(ALEXNET, actions, SearchConfig())
    assert spec_id(child) == spec_id(named("dstfc"))


def test_tenths_are_taken_in_whole_numbers():
    # 0.7 * 11 and 0.3 * 10 in floating point would lose one.
    actions = actions_for(ALEXNET, kernel=[7, 10, 10, 10, 10], features=[3] * 5)
    child = shrink(ALEXNET, actions, SearchConfig())
    assert child.backbone.layers[0].kernel == 7
    assert child.backbone.widths == (28, 76, 114, 114, 76)


def test_widths_stop_at_the_floor_and_at_whole_groups():
    lowest = actions_for(ALEXNET, features=[1] * 5)
    child = shrink(ALEXNET, lowest, SearchConfig(min_width=31))
    assert child.backbone.widths == (32, 32, 38, 38, 32)
    child = shrink(ALEXNET, lowest, SearchConfig())
    assert child.backbone.widths == (10, 24, 38, 38, 24)
    # A floor above the parent's own width leaves the parent's.
    small = networks.TEACHER
    actions = actions_for(small, features=[1] * 3, kernel=[1] * 3)
    assert shrink(small, actions, SearchConfig()).backbone.widths == (6, 8, 6)


def test_any_actions_give_a_smaller_network_on_the_same_grid():
    rng = np.random.default_rng(0)
    config = SearchConfig()
    rows = len(describe(ALEXNET, config).rows)
    for _ in range(50):
        child = shrink(ALEXNET, rng.integers(1, 11, (rows, 5)).tolist(), config)
        assert child.backbone.stage_sides(239) == ALEXNET.backbone.stage_sides(239)
        assert tracker_cost(child).parameters < tracker_cost(ALEXNET).parameters


def replaced(spec, *, stage=None, **head):
    """A network with another second stage, or another head."""
    if stage is not None:
        layers = (spec.backbone.layers[0], stage, *spec.backbone.layers[2:])
        backbone = dataclasses.replace(spec.backbone, layers=layers)
        return dataclasses.replace(spec, backbone=backbone)
    return dataclasses.replace(spec, head=dataclasses.replace(spec.head, **head))


@pytest.mark.parametrize(
    ("parent", "message"),
    [
        (networks.LEVELS, "needs plain convolutions; layer1 of the backbone is a res"),
        (
            replaced(networks.TEACHER, stage=ConvSpec(8, 3, padding=2, dilation=2)),
            "Layer shrinkage needs plain convolutions; conv2 of the backbone is dila",
        ),
        (
            replaced(named("siamrpn-depthwise"), levels=("conv5",)),
            "needs a head without levels, which reads the last stage; this one reads "
            "conv5.",
        ),
    ],
    ids=["residual", "dilated", "levels"],
)
def test_what_cannot_shrink_is_refused_in_words(parent, message):
    with pytest.raises(InputError) as error:
        check_space(parent, SearchConfig())
    assert message in str(error.value)


def test_nothing_shrunk_is_impossible():
    with pytest.raises(ImpossibleError, match="a network not smaller"):
        shrink(ALEXNET, actions_for(ALEXNET), SearchConfig())


def test_literal_shrinkage_moves_the_grid_and_may_be_impossible():
    config = SearchConfig(pin_geometry=False, mode="exact")
    child = shrink(ALEXNET, actions_for(ALEXNET, kernel=[10, 10, 5, 5, 5]), config)
    assert [layer.kernel for layer in child.backbone.layers] == [11, 5, 1, 1, 1]
    assert child.feature_side(127) == 12
    padded = dataclasses.replace(
        networks.TEACHER,
        backbone=dataclasses.replace(
            networks.TEACHER.backbone,
            layers=(
                ConvSpec(6, 3, stride=2, padding=4, pool=PoolSpec()),
                ConvSpec(8, 9, groups=2, padding=3),
                ConvSpec(6, 1, batch_norm=False, activation="none"),
            ),
        ),
    )
    # Without its padding the second stage's kernel no longer fits the template.
    shrunk = actions_for(padded, config, padding=[1, 1, 1], features=[10, 5, 10])
    pinned = SearchConfig(min_width=2)
    child = shrink(padded, shrunk, pinned)
    assert child.backbone.stage_sides(31) == padded.backbone.stage_sides(31)
    with pytest.raises(ImpossibleError, match="conv2 has no cell left"):
        literal = dataclasses.replace(pinned, pin_geometry=False, mode="exact")
        shrink(padded, shrunk, literal)


def test_bad_settings_are_named():
    with pytest.raises(InputError, match="the backbone has 3"):
        describe(networks.TEACHER, SearchConfig(layers=(4,)))
    with pytest.raises(InputError, match="use mode exact"):
        SearchConfig(pin_geometry=False)
    with pytest.raises(InputError, match="must not exceed the pairs"):
        SearchConfig(pairs=8, batch=16)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", 10**7),
        ("candidates", 10**5),
        ("at_once", 10**5),
        ("min_width", 10**6),
        ("pairs", 10**9),
        ("epochs", 1e308),
        ("validation_pairs", 10**9),
        ("proposals", 10**9),
    ],
)
def test_settings_beyond_all_use_are_refused(field, value):
    with pytest.raises(InputError, match=rf"SearchConfig\.{field}=.*: must be at most"):
        SearchConfig(**{field: value})


def test_unknown_words_are_refused_without_a_type_checker():
    # jaxtyping checks types in tests alone.
    check = SearchConfig.__post_init__
    for change, message in (
        ({"mode": "mask"}, 'must be "masked" or "exact"'),
        ({"attributes": ("width",)}, "choose of features, kernel, padding"),
    ):
        config = SearchConfig()
        for field, value in change.items():
            object.__setattr__(config, field, value)
        with pytest.raises(InputError, match=message):
            check(config)
