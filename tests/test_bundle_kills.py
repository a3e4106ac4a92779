"""A killed writing of a bundle leaves the old or the new one, and no waste for long."""

import contextlib
import dataclasses
import fcntl
import os
import pathlib

import pytest

from dst_jax import files
from dst_jax.bundle import load_bundle, save_bundle
from tests import bundles


@pytest.fixture(scope="module")
def bundle():
    return bundles.small()


@pytest.fixture
def folder(bundle, tmp_path):
    return save_bundle(bundle, tmp_path / "tracker")


def inodes(folder):
    return {name: (folder / name).stat().st_ino for name in os.listdir(folder)}


def test_a_bundle_that_is_there_already_is_not_written_again(bundle, folder):
    before = inodes(folder), folder.stat().st_ino
    save_bundle(bundle, folder)
    assert (inodes(folder), folder.stat().st_ino) == before
    (folder / "tracking.json").write_text("{}")
    save_bundle(bundle, folder)
    assert load_bundle(folder).tracking == bundle.tracking
    assert folder.stat().st_ino != before[1]


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("step", range(7))
def test_a_kill_at_any_step_leaves_the_old_or_the_new_bundle(
    bundle, folder, monkeypatch, step, again
):
    class Kill(BaseException):
        """Nothing that runs after it may change a file, as after a SIGKILL."""

    left, dead = step, False
    newer = dataclasses.replace(bundle, card={"seed": 4})

    def dying(act):
        def wrapped(*arguments, **options):
            nonlocal left, dead
            dead = dead or left == 0
            left -= 1
            if dead:
                raise Kill
            return act(*arguments, **options)

        return wrapped

    with monkeypatch.context() as patched:
        for name in ("rename", "replace"):
            patched.setattr(os, name, dying(getattr(os, name)))
        rmtree = files.shutil.rmtree
        patched.setattr(
            files.shutil, "rmtree", lambda *a, **o: None if dead else rmtree(*a, **o)
        )
        unlink = pathlib.Path.unlink
        patched.setattr(
            pathlib.Path, "unlink", lambda *a, **o: None if dead else unlink(*a, **o)
        )
        with contextlib.suppress(Kill):
            save_bundle(newer, folder)
    # Four files, then the two renames of the folder.
    assert dead == (step < 6)
    assert load_bundle(folder).card["seed"] == (3 if step < 6 else 4)
    save_bundle(newer if again else bundle, folder)
    assert load_bundle(folder).card["seed"] == (4 if again else 3)
    assert os.listdir(folder.parent) == ["tracker"]


def test_a_folder_that_another_process_is_writing_is_not_swept_away(bundle, folder):
    leftover = folder.with_name(".tmp-00000000-tracker")
    leftover.mkdir()
    (leftover / "spec.json").write_text("{}")
    handle = os.open(leftover, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    save_bundle(bundle, folder)
    assert leftover.exists()
    os.close(handle)
    save_bundle(bundle, folder)
    assert not leftover.exists()


def test_an_error_between_the_renames_gives_the_old_bundle_its_name_back(
    bundle, folder, monkeypatch
):
    rename = os.rename

    def refusing(source, target):
        if ".tmp-" in str(source):
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "rename", refusing)
    with pytest.raises(OSError, match="No space"):
        save_bundle(dataclasses.replace(bundle, card={"seed": 4}), folder)
    assert os.listdir(folder.parent) == ["tracker"]
    assert load_bundle(folder).card["seed"] == 3
