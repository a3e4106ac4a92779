"""Files of weights: what can be read safely is read, all else is told by its name."""

import collections
import gzip
import re
import zipfile

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch

from dst_jax.convert import read_state_dict, siamfc_from_pytorch
from dst_jax.convert.state_dict import plain_names
from dst_jax.errors import InputError
from tests.convert.test_siamfc_pytorch import SPEC, state_dict

torch = pytest.importorskip("torch", reason="PyTorch is an extra")

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
VALUES = np.array([[0.0, 2.0, 0.0], [-1.0, 0.0, 0.5]], np.float32)


def plain():
    return torch.from_numpy(VALUES.copy())


def written(tmp_path, values, **options):
    path = tmp_path / "net.pth"
    torch.save(values, path, **options)
    return path


@pytest.mark.parametrize(
    "turn",
    [
        lambda t: t,
        torch.nn.Parameter,
        lambda t: t.to_sparse(),
        lambda t: t.to_sparse_csr(),
        lambda t: t.half(),
        lambda t: t.bfloat16(),
        lambda t: t.double(),
        lambda t: t.to(torch.float8_e5m2),
        lambda t: t.T.contiguous().T,
        lambda t: torch.quantize_per_tensor(t, 0.5, 4, torch.quint8),
        lambda t: torch.quantize_per_channel(
            t, torch.tensor([0.5, 0.25]), torch.tensor([0, 0]), 0, torch.qint8
        ),
    ],
    ids=range(11),
)
def test_every_kind_of_tensor_is_read_as_its_numbers(tmp_path, turn):
    read = read_state_dict(written(tmp_path, {"a.weight": turn(plain())}))
    assert read["a.weight"].dtype == np.float32
    np.testing.assert_array_equal(read["a.weight"], VALUES)


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        (lambda t: t.to("meta"), "'a.weight' has a shape and no values"),
        (lambda t: t.to(torch.complex64), "'a.weight' is complex"),
        (lambda t: torch.nested.nested_tensor([t, t]), "'a.weight' is nested"),
        (lambda t: t[:1, :1].expand(10**6, 10**6), "has the shape (1000000, 1000000)"),
        (
            lambda t: torch.sparse_coo_tensor([[0], [0]], [1.0], (10**6, 10**6)),
            "has the shape (1000000, 1000000)",
        ),
    ],
    ids=range(5),
)
def test_a_tensor_without_numbers_to_use_is_named(tmp_path, turn, message):
    path = written(tmp_path, {"a.weight": turn(plain())})
    with pytest.raises(InputError, match=re.escape(message)):
        read_state_dict(path)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3, "loss": torch.tensor(0.5)},
        lambda state: {"epoch": 3, "model_state_dict": state, "optimizer": {"lr": 1}},
        lambda state: {"net": {"state_dict": state}},
        lambda state: {"siamfc": state, "epoch": 3},
        lambda state: collections.OrderedDict(state),
    ],
)
def test_the_state_dict_is_found_among_other_things(tmp_path, wrap):
    read = read_state_dict(written(tmp_path, wrap({"a.weight": plain()})))
    assert list(read) == ["a.weight"]


def test_what_is_no_tensor_is_named_by_whoever_converts(tmp_path):
    tensors = {name: torch.from_numpy(one) for name, one in state_dict().items()}
    path = written(tmp_path, {**tensors, "epoch": 3, "made": "by me"})
    read = read_state_dict(path)
    assert read["epoch"] == 3.0 and read["made"].size == 0
    _, left_over = siamfc_from_pytorch(read, SPEC)
    assert left_over == ("epoch", "made")


@pytest.mark.parametrize(
    "form",
    [
        "module.{}",
        "_orig_mod.{}",
        "model.{}",
        "model._orig_mod.module.{}",
        "net.{}",
        "_orig_mod.model.{}",
    ],
)
def test_names_added_in_training_are_taken_off(form):
    state = {form.format(name): one for name, one in state_dict().items()}
    found, left_over = siamfc_from_pytorch(state, SPEC)
    wanted, _ = siamfc_from_pytorch(state_dict(), SPEC)
    assert left_over == ()
    np.testing.assert_array_equal(
        found["params"]["backbone"]["conv3"]["conv"]["kernel"],
        wanted["params"]["backbone"]["conv3"]["conv"]["kernel"],
    )


def test_a_compiled_or_parallel_part_of_a_network_is_understood():
    state = {"backbone._orig_mod.conv1.0.bias": 1, "backbone.module.conv2.0.bias": 2}
    arrays = {name: np.full(1, one) for name, one in state.items()}
    wanted = ["backbone.conv1.0.bias", "backbone.conv2.0.bias"]
    assert list(plain_names(arrays)) == wanted


def test_two_networks_in_one_file_are_told():
    state = state_dict()
    both = {f"{one}.{name}": state[name] for one in ("model", "net") for name in state}
    with pytest.raises(InputError, match=r"'model\.back.*' and 'net\.back.* one name"):
        siamfc_from_pytorch(both, SPEC)
    twice = state | {n.replace("backbone", "features"): one for n, one in state.items()}
    with pytest.raises(InputError, match=r"features\.conv1\.0\.weight is there twice"):
        siamfc_from_pytorch(twice, SPEC)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("0.weight", np.nan, "holds numbers that are not finite"),
        ("0.bias", -np.inf, "holds numbers that are not finite"),
        ("1.weight", np.inf, "holds numbers that are not finite"),
        ("1.running_mean", np.nan, "holds numbers that are not finite"),
        ("1.running_var", np.nan, "holds numbers that are not finite"),
        ("1.running_var", -1e-3, "holds a negative variance"),
    ],
)
def test_weights_that_cannot_work_are_named(field, value, message):
    state = state_dict()
    state[f"backbone.conv2.{field}"].flat[-1] = value
    with pytest.raises(InputError, match=rf"^backbone\.conv2\.{field} {message}"):
        siamfc_from_pytorch(state, SPEC)


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16])
def test_safetensors_are_read_whatever_the_file_is_called(tmp_path, kind):
    path = tmp_path / "net.pth"
    safetensors.torch.save_file({"a.weight": plain().to(kind)}, path)
    np.testing.assert_array_equal(read_state_dict(path)["a.weight"], VALUES)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"net\.pth: is a safetensors file .* damaged"):
        read_state_dict(path)


def test_complex_safetensors_are_refused(tmp_path):
    values = {"a": np.ones(2, np.complex64)}
    (tmp_path / "net.pth").write_bytes(safetensors.numpy.save(values))
    with pytest.raises(InputError, match="'a' has the type C64; give real numbers"):
        read_state_dict(tmp_path / "net.pth")


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (POINTER, "is a pointer of git-LFS, not the file itself; run `git lfs pull`"),
        (b"<!DOCTYPE html><html>Quota exceeded</html>", "is a web page"),
        (b"\n <html></html>", "is a web page"),
        (b"<?xml version='1.0'?><Error>AccessDenied</Error>", "is a web page"),
        (b'{"error": "not found"}', "is a text file that begins with '{"),
        (b"404: Not Found\n", "is a text file that begins with '404: Not Found"),
        (gzip.compress(b"weights", mtime=0), "is a gzip archive; unpack it"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "is an HDF5 file"),
        (b"PK\x03\x04" + bytes(100), "that is cut off or damaged (104 bytes)"),
        (bytes(range(128, 256)), "not a PyTorch state dict"),
        (bytes(1000), "not a PyTorch state dict"),
    ],
)
def test_what_people_have_in_place_of_weights_is_told(tmp_path, content, message):
    (tmp_path / "net.pth").write_bytes(content)
    with pytest.raises(InputError) as error:
        read_state_dict(tmp_path / "net.pth")
    assert message in str(error.value) and "net.pth: " in str(error.value)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_download_that_was_cut_off_is_told(tmp_path, share):
    path = written(tmp_path, {"a": torch.zeros(1000)})
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"net\.pth: is a zip archive.* cut off"):
        read_state_dict(path)


def test_a_folder_is_told(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        read_state_dict(tmp_path)


def test_a_zip_bomb_is_not_opened(tmp_path):
    path = tmp_path / "net.pth"
    torch.save({"a": torch.zeros(4)}, tmp_path / "plain.pth")
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as plain,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in plain.namelist():
            bomb.writestr(name, plain.read(name) + bytes(10**8 * name.endswith("/0")))
    assert path.stat().st_size < 10**6
    with pytest.raises(InputError, match="larger when unpacked"):
        read_state_dict(path)


def test_an_archive_of_other_files_is_told(tmp_path):
    with zipfile.ZipFile(tmp_path / "net.pth", "w") as archive:
        archive.writestr("siamfc/model.pth", b"x")
    with pytest.raises(InputError, match=r"that holds siamfc/model\.pth; unpack it"):
        read_state_dict(tmp_path / "net.pth")


def test_a_torchscript_archive_is_told(tmp_path):
    torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(tmp_path / "net.pth")
    with pytest.raises(InputError, match="is a TorchScript archive"):
        read_state_dict(tmp_path / "net.pth")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: torch.nn.Linear(2, 2),
            "holds torch.nn.modules.linear.Linear, such",
        ),
        (lambda: {"a": np.ones(3)}, "such as a whole network"),
        (lambda: torch.zeros(3), "holds no state dict but a Tensor"),
        (lambda: [torch.zeros(3)], "holds no state dict but a list"),
        (lambda: {}, "holds no state dict; its keys are none"),
        (lambda: {"epoch": 3, "lr": 0.1}, "its keys are epoch, lr; save"),
        (
            lambda: {"a": {"w": torch.ones(1)}, "b": {"w": torch.ones(1)}},
            "its keys are a, b; save",
        ),
    ],
    ids=range(7),
)
def test_what_torch_saved_besides_state_dicts_is_told(tmp_path, make, message):
    path = written(tmp_path, make())
    with pytest.raises(InputError) as error:
        read_state_dict(path)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_sparse_tensor_that_points_out_of_memory_is_refused(tmp_path):
    with torch.sparse.check_sparse_tensor_invariants(False):
        bad = torch.sparse_coo_tensor([[0, 10**9], [0, 0]], [1.0, 2.0], (2, 2))
        path = written(tmp_path, {"a": bad})
    with pytest.raises(InputError, match=r"net\.pth: "):
        read_state_dict(path)


def test_files_of_old_releases_of_pytorch_are_read(tmp_path):
    options = {"_use_new_zipfile_serialization": False}
    read = read_state_dict(written(tmp_path, {"a": plain()}, **options))
    np.testing.assert_array_equal(read["a"], VALUES)
