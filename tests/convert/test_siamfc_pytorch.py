"""Conversion of siamfc-pytorch weights."""

import jax
import numpy as np
import pytest

from dst_jax import arch
from dst_jax.convert import read_state_dict, siamfc_from_pytorch
from dst_jax.errors import InputError
from dst_jax.models import build
from tests import networks

SPEC = arch.named("tiny")


def state_dict(seed=0, *, spec=SPEC):
    """A state dict with the names and layouts of siamfc-pytorch."""
    rng = np.random.default_rng(seed)
    state, below = {}, 3
    for k, layer in enumerate(spec.backbone.layers, start=1):
        shape = (layer.features, below // layer.groups, layer.kernel, layer.kernel)
        conv = f"backbone.conv{k}.0."
        state[conv + "weight"] = rng.normal(0, 0.1, shape).astype(np.float32)
        state[conv + "bias"] = rng.normal(0, 0.1, layer.features).astype(np.float32)
        if layer.batch_norm:
            norm = f"backbone.conv{k}.1."
            for name in ("weight", "running_var"):
                values = rng.uniform(0.5, 2.0, layer.features)
                state[norm + name] = values.astype(np.float32)
            for name in ("bias", "running_mean"):
                values = rng.normal(0, 1.0, layer.features)
                state[norm + name] = values.astype(np.float32)
            state[norm + "num_batches_tracked"] = np.zeros((), np.float32)
        below = layer.features
    return state


def test_everything_finds_its_place_and_counters_are_not_reported():
    variables, left_over = siamfc_from_pytorch(state_dict(), SPEC)
    assert left_over == ()
    kernel = variables["params"]["backbone"]["conv1"]["conv"]["kernel"]
    expected = state_dict()["backbone.conv1.0.weight"]
    assert kernel[2, 3, 1, 0] == expected[0, 1, 2, 3]


def test_what_does_not_fit_is_reported():
    state = state_dict() | {"head.adjust.weight": np.zeros(1, np.float32)}
    state["backbone.conv5.1.weight"] = np.zeros(6, np.float32)
    _, left_over = siamfc_from_pytorch(state, SPEC)
    assert left_over == ("backbone.conv5.1.weight", "head.adjust.weight")


def test_a_data_parallel_prefix_is_understood():
    state = {f"module.{name}": value for name, value in state_dict().items()}
    variables, left_over = siamfc_from_pytorch(state, SPEC)
    assert left_over == ()
    assert set(variables["params"]["backbone"]) == {f"conv{k}" for k in range(1, 6)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("backbone.conv3.0.bias"), "conv3.0.bias is missing"),
        (
            lambda s: s.update({"backbone.conv2.0.weight": np.zeros((1, 1, 1, 1))}),
            r"conv2.0.weight has shape \(1, 1, 1, 1\)",
        ),
    ],
)
def test_missing_and_misshapen_tensors_are_named(change, message):
    state = state_dict()
    change(state)
    with pytest.raises(InputError, match=message):
        siamfc_from_pytorch(state, SPEC)


def test_another_network_is_refused_by_name():
    with pytest.raises(InputError, match="not a SiamFC"):
        siamfc_from_pytorch({"layer1.weight": np.zeros(3, np.float32)}, SPEC)


def test_pytorch_gives_the_same_features():
    torch = pytest.importorskip("torch", reason="PyTorch is an extra")
    state = state_dict()
    x = np.random.default_rng(1).uniform(0, 255, (2, 79, 79, 3)).astype(np.float32)
    variables, _ = siamfc_from_pytorch(state, SPEC)
    ours = jax.jit(lambda x: networks.features(build(SPEC), variables, x)["conv5"])(x)

    t = {k: torch.from_numpy(v) for k, v in state.items()}
    h = torch.from_numpy(x.transpose(0, 3, 1, 2))
    for k, layer in enumerate(SPEC.backbone.layers, start=1):
        weight, bias = (t[f"backbone.conv{k}.0.{n}"] for n in ("weight", "bias"))
        h = torch.nn.functional.conv2d(
            h, weight, bias, stride=layer.stride, groups=layer.groups
        )
        if layer.batch_norm:
            names = ("running_mean", "running_var", "weight", "bias")
            parts = [t[f"backbone.conv{k}.1.{n}"] for n in names]
            h = torch.nn.functional.batch_norm(h, *parts, eps=1e-6)
        if layer.activation == "relu":
            h = torch.relu(h)
        if layer.pool:
            h = torch.nn.functional.max_pool2d(h, layer.pool.window, layer.pool.stride)
    theirs = h.numpy().transpose(0, 2, 3, 1)
    error = np.abs(np.asarray(ours) - theirs).max() / np.abs(theirs).max()
    assert error <= 1e-4


def test_a_pth_file_is_read_and_bad_ones_are_named(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is an extra")
    good, damaged, other = (tmp_path / n for n in ("a.pth", "b.pth", "c.pth"))
    tensors = {k: torch.from_numpy(v) for k, v in state_dict().items()}
    torch.save({"state_dict": tensors}, good)
    read = read_state_dict(good)
    np.testing.assert_array_equal(
        read["backbone.conv1.0.bias"], state_dict()["backbone.conv1.0.bias"]
    )
    damaged.write_bytes(b"no weights at all")
    with pytest.raises(InputError, match=r"b\.pth: is a text file that begins"):
        read_state_dict(damaged)
    torch.save([1, 2], other)
    with pytest.raises(InputError, match=r"c\.pth: holds no state dict"):
        read_state_dict(other)
    with pytest.raises(InputError, match=r"d\.pth: no such file"):
        read_state_dict(tmp_path / "d.pth")


def test_a_pth_file_that_would_run_code_is_refused(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is an extra")
    path = tmp_path / "evil.pth"
    torch.save({"net": _Trap()}, path)
    with pytest.raises(InputError, match="not a PyTorch state dict"):
        read_state_dict(path)
    assert not _Trap.sprung


class _Trap:
    """Unpickling this calls `spring`."""

    sprung = False

    @staticmethod
    def spring():
        _Trap.sprung = True

    def __reduce__(self):
        return (_Trap.spring, ())
