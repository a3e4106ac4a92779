"""Identities on disk: packs, runs and bundles of earlier releases keep theirs.

The literals were taken from the release that first wrote them; a change of one makes
every stored card, workdir and pack of that kind foreign.
"""

import json

import numpy as np

from dst_jax.bundle import Bundle
from dst_jax.data.checks.verify import fingerprint
from dst_jax.data.sequence import Sequence
from dst_jax.experiment import config_hash
from dst_jax.track.config import SiamFCTracking
from dst_jax.workflows.training_data import data_hash
from tests import networks
from tests.data import small_packs


def sequences():
    boxes = np.float32([[20, 15, 8, 6], [21.5, 15, 8, 6], [np.nan] * 4])
    seen = np.array([True, True, False])
    frames = tuple(f"frames/{t}.jpg" for t in range(3))
    first = Sequence("car", "road", frames, boxes, seen, source="otb:x")
    return first, Sequence("dog", "park", (), boxes[:1], seen[:1], source="coco:y")


def test_weights_keep_their_identity():
    kernel = np.arange(6, dtype=np.float32).reshape(2, 3)
    variables = {
        "params": {"conv": {"kernel": kernel, "bias": np.float32([0.5, -1, 2])}},
        "batch_stats": {"norm": {"mean": np.float32([0.25])}},
    }
    bundle = Bundle(networks.TEACHER, variables, SiamFCTracking(), {})
    assert bundle.weights_sha256 == (
        "fd7440aa5a83b3136a9a753d784a66b9f5b658dce113dfd672352c8f26991d3c"
    )


def test_configurations_keep_their_identity():
    values = {"b": [1, 2.5, None], "a": {"ü": "x", "t": True}}
    assert config_hash(values) == (
        "f46025f49f530e327d811348a06da7c63ebece22b2b4d3bc3290d9c15c599f90"
    )


def test_data_keep_their_identity():
    assert data_hash(sequences()) == (
        "52bb809b996feaa5f0384dfe7b5bbf15ccf0908ecbe19d3c4b4d24404c5d8180"
    )
    assert fingerprint(sequences()) == (
        "a1315a0ada3256f39263441c1c014a681565e1d96c80d34801383fcc1fcf7b25"
    )


def test_packs_keep_the_identity_of_their_targets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw").mkdir()
    small_packs.write_raw(tmp_path / "raw" / "video")
    small_packs.pack("got10k:raw/video", tmp_path / "pack")
    card = json.loads((tmp_path / "pack" / "pack.json").read_text())
    assert card["targets"] == (
        "84ee055a8698815541ec019b7db8eb1166e601759a31ad3d7dd83bfb9d910d71"
    )
