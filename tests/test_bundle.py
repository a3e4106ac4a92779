"""Bundles: whole or absent, checked on loading, nothing executed."""

import dataclasses
import os

import jax
import numpy as np
import pytest

from dst_jax import arch
from dst_jax.bundle import Bundle, load_bundle, save_bundle
from dst_jax.errors import InputError
from dst_jax.models import init_variables
from dst_jax.track.config import SiamFCTracking, SiamRPNTracking
from tests import bundles
from tests.bundles import FILES, SPEC, as_format_1, edit_json


@pytest.fixture(scope="module")
def bundle():
    return bundles.small()


@pytest.fixture
def folder(bundle, tmp_path):
    return save_bundle(bundle, tmp_path / "tracker")


def test_a_bundle_comes_back_as_it_was(bundle, folder):
    again = load_bundle(folder)
    assert again.spec == bundle.spec
    assert again.tracking == bundle.tracking
    assert again.card["seed"] == 3
    assert again.card["weights_sha256"] == bundle.weights_sha256
    jax.tree.map(np.testing.assert_array_equal, again.variables, bundle.variables)


def test_a_bundle_holds_four_files_and_nothing_is_left_beside_it(folder):
    assert sorted(os.listdir(folder)) == [
        "card.json",
        "spec.json",
        "tracking.json",
        "weights.safetensors",
    ]
    assert os.listdir(folder.parent) == ["tracker"]


def test_saving_again_replaces_the_bundle(bundle, folder):
    save_bundle(Bundle(SPEC, bundle.variables, bundle.tracking, {"seed": 4}), folder)
    assert load_bundle(folder).card["seed"] == 4
    assert os.listdir(folder.parent) == ["tracker"]


def test_a_bundle_is_read_and_written_where_one_stands(bundle, folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert load_bundle(".").card["seed"] == 3
    save_bundle(dataclasses.replace(bundle, card={"seed": 4}), ".")
    assert load_bundle(folder).card["seed"] == 4
    assert os.listdir(folder.parent) == ["tracker"]


def test_a_bundle_in_the_home_folder_is_written_and_found(
    bundle, tmp_path, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert save_bundle(bundle, "~/tracker") == tmp_path / "tracker"
    assert load_bundle("~/tracker").card["seed"] == 3


def test_a_bundle_is_found_after_a_kill_between_the_renames_that_replace_it(
    bundle, folder
):
    folder.rename(folder.with_name(".tracker.replaced"))
    assert load_bundle(folder).card["seed"] == 3
    save_bundle(Bundle(SPEC, bundle.variables, bundle.tracking, {"seed": 4}), folder)
    assert load_bundle(folder).card["seed"] == 4
    assert os.listdir(folder.parent) == ["tracker"]


def test_a_folder_that_is_no_bundle_is_not_overwritten(bundle, tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="exists and is no bundle"):
        save_bundle(bundle, tmp_path / "precious")
    assert (tmp_path / "precious" / "thesis.txt").exists()


def test_a_card_that_cannot_be_read_again_is_not_written(bundle, tmp_path):
    bad = dataclasses.replace(bundle, card={"config": {"seed": 2**70}})
    with pytest.raises(InputError, match=r"config\.seed=1180591620717411303424"):
        save_bundle(bad, tmp_path / "tracker")
    assert os.listdir(tmp_path) == []


def test_a_card_comes_back_as_json_has_it(bundle, tmp_path):
    card = {"a": {10: "a", 9: "b"}, "b": ("b", 1.0), "c": [None, True]}
    path = save_bundle(dataclasses.replace(bundle, card=card), tmp_path / "tracker")
    found = load_bundle(path).card
    assert found["a"] == {"10": "a", "9": "b"}
    assert (found["b"], found["c"]) == (["b", 1.0], [None, True])


def test_a_card_that_cannot_be_written_leaves_nothing(bundle, tmp_path):
    bad = Bundle(SPEC, bundle.variables, bundle.tracking, {"loss": float("nan")})
    with pytest.raises(ValueError, match="JSON"):
        save_bundle(bad, tmp_path / "tracker")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["spec.json", "weights.safetensors", "card.json"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(InputError, match=f"{name}: missing"):
        load_bundle(folder)


def test_an_unknown_format_version_is_refused(folder):
    edit_json(folder / "spec.json", lambda v: v.update(format_version=99))
    with pytest.raises(InputError, match="format_version 99"):
        load_bundle(folder)


def test_format_1_is_read_and_says_what_it_does_not_protect(bundle, folder):
    assert load_bundle(folder).unprotected == ()
    as_format_1(folder)
    again = load_bundle(folder)
    assert again.unprotected == ("spec.json", "tracking.json", "card.json")
    assert again.spec == bundle.spec
    save_bundle(again, folder)
    assert load_bundle(folder).unprotected == ()


def test_a_version_is_a_number_and_no_truth(folder):
    edit_json(folder / "spec.json", lambda v: v.update(format_version=True))
    with pytest.raises(InputError, match="format_version True"):
        load_bundle(folder)


@pytest.mark.parametrize("digest", ["gone", None, [], {}, 7, True, "", "0" * 64])
def test_without_the_digest_of_its_weights_a_bundle_is_refused(folder, digest):
    as_format_1(folder)
    edit_json(folder / "card.json", lambda v: v.update(weights_sha256=digest))
    if digest == "gone":
        edit_json(folder / "card.json", lambda v: v.pop("weights_sha256"))
    with pytest.raises(InputError, match=r"no digest of weights|hash is not the one"):
        load_bundle(folder)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("digest", ["gone", None, [], "0" * 64])
def test_without_the_digest_of_any_file_a_bundle_is_refused(folder, name, digest):
    def change(values):
        values["files_sha256"][name] = digest
        if digest == "gone":
            del values["files_sha256"][name]

    edit_json(folder / "card.json", change)
    with pytest.raises(InputError, match=rf"no digest of {name}|hash is not the one"):
        load_bundle(folder)


@pytest.mark.parametrize("digests", ["gone", None, [], 3, {}])
def test_without_digests_a_bundle_is_refused(folder, digests):
    edit_json(folder / "card.json", lambda v: v.update(files_sha256=digests))
    if digests == "gone":
        edit_json(folder / "card.json", lambda v: v.pop("files_sha256"))
    with pytest.raises(InputError, match=r"card\.json: holds no digest of "):
        load_bundle(folder)


def test_a_bundle_cannot_pass_for_one_of_format_1(folder):
    edit_json(folder / "spec.json", lambda v: v.update(format_version=1))
    with pytest.raises(InputError, match="digests of format_version 2"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("spec.json", lambda v: v["tracker"]["head"].update(scale=0.02)),
        ("tracking.json", lambda v: v.update(scale_step=1.06)),
        ("card.json", lambda v: v.update(seed=4)),
        ("card.json", lambda v: v.update(more=0)),
        ("card.json", lambda v: v.pop("seed")),
        ("card.json", lambda v: v.update(weights_sha256="0" * 64)),
    ],
)
def test_an_edit_of_any_file_is_noticed(folder, name, change):
    edit_json(folder / name, change)
    with pytest.raises(InputError, match=rf"{name}: damaged, its hash is not the one"):
        load_bundle(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_of_any_file_is_refused_or_changes_nothing(bundle, folder, name):
    content, rng = (folder / name).read_bytes(), np.random.default_rng(0)
    for bit in rng.choice(8 * len(content), 60, replace=False):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        (folder / name).write_bytes(bytes(damaged))
        try:
            again = load_bundle(folder)
        except InputError as error:
            assert "\n" not in str(error)
            continue
        assert (again.spec, again.tracking) == (bundle.spec, bundle.tracking)
        assert again.card["seed"] == 3 and name == "card.json"
        assert again.weights_sha256 == bundle.weights_sha256


def test_a_file_is_named_once(folder):
    as_format_1(folder)
    path = folder / "tracking.json"
    path.write_text('{"scale_step": NaN}')
    with pytest.raises(InputError) as told:
        load_bundle(folder)
    expected = f"{path}: scale_step=nan: must be a finite number; mend or replace it."
    assert str(told.value) == expected


def test_unknown_settings_are_named(folder):
    as_format_1(folder)
    edit_json(folder / "tracking.json", lambda v: v.update(window=1))
    with pytest.raises(InputError, match="window"):
        load_bundle(folder)
    with pytest.raises(InputError, match="no such bundle"):
        load_bundle(folder / "elsewhere")


def test_settings_of_both_families_come_back(folder):
    spec = arch.named("tiny-siamrpn")
    variables = init_variables(jax.random.key(1), spec)
    tracking = SiamRPNTracking(penalty_k=0.1, lost_below=0.2)
    path = save_bundle(Bundle(spec, variables, tracking, {}), folder.parent / "region")
    assert load_bundle(path).tracking == tracking
    as_format_1(folder)
    as_format_1(path)
    # Bundles of SiamFC were once written without a kind.
    edit_json(folder / "tracking.json", lambda v: v.pop("kind"))
    assert load_bundle(folder).tracking == SiamFCTracking(scale_step=1.05)
    edit_json(path / "tracking.json", lambda v: v.update(scale_step=1.05))
    with pytest.raises(InputError, match="unknown field 'scale_step'"):
        load_bundle(path)
