"""Attributes of sequences: files that name them, and faulty ones."""

import json

import pytest

from dst_jax.data.readers.attributes import read_attributes
from dst_jax.errors import InputError

PYSOT = {
    "Deer": {"attr": ["Motion Blur", "Fast Motion"], "gt_rect": [[1, 2, 3, 4]]},
    "Dog": {"attr": ["Fast Motion"]},
    "Elsewhere": {"attr": ["Occlusion"]},
}


def test_pysots_files_are_read_and_other_sequences_left_out(tmp_path):
    (tmp_path / "OTB100.json").write_text(json.dumps(PYSOT))
    assert read_attributes(tmp_path, ["Deer", "Dog"]) == {
        "Motion Blur": ("Deer",),
        "Fast Motion": ("Deer", "Dog"),
    }


def test_ones_own_file_goes_before_and_is_a_list_for_each_sequence(tmp_path):
    (tmp_path / "OTB100.json").write_text(json.dumps(PYSOT))
    (tmp_path / "attributes.json").write_text('{"Deer": ["night"]}')
    assert read_attributes(tmp_path, ["Deer"]) == {"night": ("Deer",)}


def test_without_a_file_there_are_none(tmp_path):
    (tmp_path / "instances.json").write_text("[]")
    assert read_attributes(tmp_path, ["Deer"]) == {}
    assert read_attributes(tmp_path / "missing", ["Deer"]) == {}


@pytest.mark.parametrize("value", [3, {"attr": "blur"}, {}, [1]])
def test_a_faulty_file_is_named_with_the_sequence(tmp_path, value):
    (tmp_path / "attributes.json").write_text(json.dumps({"Deer": value}))
    with pytest.raises(InputError, match=r"attributes\.json: Deer: .* no list of"):
        read_attributes(tmp_path, ["Deer"])
