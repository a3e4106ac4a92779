"""The table of kernels names what the compiled programs call."""

import io

import jax
import pytest
from rich.console import Console

from dst_jax.arch import Convolution, ConvSpec, named
from dst_jax.command.main import main
from dst_jax.ops.kernels import PASSES, VARIABLE
from dst_jax.workflows import kernel_table
from tests import networks

pytestmark = pytest.mark.skipif(
    jax.default_backend() != "cpu", reason="accelerators have kernels of their own"
)


@pytest.mark.parametrize("which", PASSES)
def test_each_pass_is_timed_with_the_kernels_that_it_calls(which, monkeypatch):
    monkeypatch.setenv(VARIABLE, "eigen")
    layer = Convolution("conv2", ConvSpec(8, 3, groups=2), 12, 4)
    found = kernel_table.timed_pass(layer, which, batch=2)
    assert found.kernel == "Eigen"
    assert 0.0 < found.gflops < 1e5


def test_layers_are_those_of_the_search_image():
    found = list(kernel_table.layers_of(named("siamfc-alexnet")))
    layers = [layer for layer, _ in found]
    assert [count for _, count in found] == [1] * 5
    assert [layer.name for layer in layers] == [f"conv{n}" for n in range(1, 6)]
    # Published: 255 px, stride 2, pool; 123, 61, 57, 28, 26, 24 cells.
    assert [layer.side for layer in layers] == [255, 61, 28, 26, 24]
    assert [layer.inputs for layer in layers] == [3, 96, 256, 384, 384]


def test_a_residual_stage_lists_its_distinct_convolutions_with_their_number():
    found = list(kernel_table.layers_of(named("siamrpnpp-r50")))
    counts = {layer.name: count for layer, count in found}
    # layer3: six blocks, of which the first differs and has a projection.
    of_layer3 = {name: n for name, n in counts.items() if name.startswith("layer3")}
    assert of_layer3 == {
        "layer3/block1/conv1": 1,
        "layer3/block1/conv2": 1,
        "layer3/block1/conv3": 6,
        "layer3/block1/projection": 1,
        "layer3/block2/conv1": 5,
        "layer3/block2/conv2": 5,
    }
    assert sum(counts.values()) == 1 + 3 * (3 + 4 + 6 + 3) + 4
    dilated = {layer.name: layer.conv.dilation for layer, _ in found}
    assert dilated["layer4/block2/conv2"] == 4


def test_the_table_of_a_residual_network_ends(capsys, monkeypatch):
    monkeypatch.setenv(VARIABLE, "eigen")
    console = Console(file=io.StringIO(), width=80)
    kernel_table.print_kernels(networks.LEVELS, console, batch=1)
    lines = [line.split() for line in console.file.getvalue().splitlines()]
    rows = {words[0]: words[1:] for words in lines if len(words) > 3}
    # The projection of the dilated layer2 has half of its dilation, which is 1, as the
    # first convolution of its block does; their widths differ.
    assert {"conv1", "layer1/block1/conv2", "layer2/block1/projection"} <= set(rows)
    assert rows["layer2/block1/conv2"][::2] == ["Eigen"] * 3


def test_the_table_has_a_row_for_each_layer(capsys, monkeypatch):
    timed = kernel_table.Timed("Eigen", 12.4)
    monkeypatch.setattr(kernel_table, "timed_pass", lambda *a, **k: timed)
    console = Console(file=io.StringIO(), width=80)
    kernel_table.print_kernels(named("mini"), console, batch=3)
    shown = console.file.getvalue()
    lines = [line.split() for line in shown.splitlines()]
    rows = [words for words in lines if words and words[0].startswith("conv")]
    assert rows[0] == ["conv1", "Eigen", "12", "Eigen", "12"]
    assert all(row[1:] == ["Eigen", "12"] * 3 for row in rows[1:])
    assert "GFLOP/s of 3 images" in shown


@pytest.mark.parametrize("batch", ["-1", "1000"])
def test_a_number_of_images_that_is_none_is_refused(batch, capsys):
    assert main(["info", "mini", "--kernels", "--batch", batch]) == 2
    assert f"--batch {batch}: must be from 1 to 256." in capsys.readouterr().err
