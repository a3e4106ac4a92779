"""`dst-jax info`: what it says of a network of one stream."""

import json

import pytest
from rich.console import Console

from dst_jax import arch
from dst_jax.errors import InputError
from dst_jax.workflows.info import print_info


def printed(name, **options):
    console = Console(width=200, record=True)
    print_info(name, console, **options)
    return console.export_text()


def test_a_transformer_has_its_multiply_adds_with_and_without_attention():
    text = printed("mini-ostrack-64")
    # 575,413 parameters; 43.3 M multiply-adds as papers count, 4.9 M of attention.
    assert "parameters 575,413 = " in text
    assert "43.3 M as papers count" in text
    assert "products of attention besides: 4.9 M, with them 48.3 M" in text
    assert "correlation" not in text
    assert "search tokens 64" in text


def test_the_tokens_that_elimination_leaves_are_named_with_their_blocks():
    text = printed("ostrack-384-ce")
    assert "search tokens 576, 404 from block3 on, 283 from block6" in text
    assert "199 from block9 on" in text


def test_a_stem_of_convolutions_is_named_and_counted(tmp_path):
    spec = arch.with_conv_stem(arch.named("mini-ostrack-96"))
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(arch.spec_to_json(spec)))
    text = printed(str(path))
    # Three convolutions of stride 2 make 24, 48 and 96 channels, one cell per 8 px.
    assert "3x 3x3" in text
    # 585,013 less a linear layer of 18,528, and 62,136 of the stem.
    assert "parameters 628,621 = " in text
    # 97.5 less 3.3, and 18.5 of the stem.
    assert "112.6 M as papers count" in text


def test_siamese_networks_have_one_number_of_multiply_adds():
    text = printed("tiny")
    assert "(correlation included)" in text and "papers" not in text


def test_the_table_of_kernels_is_refused_for_a_transformer():
    with pytest.raises(InputError, match="kernels needs convolutions; the backbone is"):
        printed("mini-ostrack-64", kernels=1)
