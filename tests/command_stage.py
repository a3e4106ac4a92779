"""A folder in which the commands of the documentation can be run, and tiny settings.

What stands for what: every file and folder has the name that the pages use, and tiny
content. A packaged configuration keeps its name and all its settings but the networks,
the length and the batch. An architecture of the zoo named as a student is a tiny one.
"""

import dataclasses
import json
import pathlib

import cv2
import jax
import numpy as np

from dst_jax.arch import named, read_spec
from dst_jax.bundle import Bundle, save_bundle
from dst_jax.data.readers import read_sequences
from dst_jax.data.synthetic.dataset import SyntheticConfig, write_synthetic
from dst_jax.models import init_variables
from dst_jax.search import SearchConfig
from dst_jax.track import SiamFCTracking
from dst_jax.train import LoopConfig
from tests import networks, objectives
from tests.data import small_packs

# Words that stand for the reader's own.
PLACEHOLDERS = {"CONFIG": "siamfc_dst_short", "BUNDLE": "teacher.bundle"}
VIDEO = SyntheticConfig(videos=6, length=6, height=90, width=120)
BOX = (120, 80, 40, 60)


def small(experiment):
    """A packaged experiment with tiny networks, on few pairs."""
    one = len(experiment.students) == 1
    name = next(iter(experiment.students))
    students = {name: networks.TEACHER} if one else dict(networks.STUDENTS)
    terms = {"str": objectives.TINY.distill.terms["str"]}
    distill = experiment.distill
    if "str" in distill.terms:
        distill = distill.with_terms(**terms)
    data = {"batch": 4, "validation_share": 0.34, "threads": 0}
    optim = {"epochs": 1.0, "pairs_per_epoch": 8}
    return dataclasses.replace(
        experiment,
        students=students,
        data=dataclasses.replace(experiment.data, **data),
        distill=distill,
        labels=objectives.TINY.labels,
        tracking=SiamFCTracking(),
        optim=dataclasses.replace(experiment.optim, **optim),
        loop=LoopConfig(log_every=1),
        search=SearchConfig(
            steps=1,
            candidates=2,
            min_width=2,
            pairs=4,
            epochs=1.0,
            batch=2,
            validation_pairs=4,
        ),
    )


def small_spec(what):
    """A tiny network for a name in the zoo, and what a file holds for its path."""
    if what.endswith(".json"):
        return read_spec(what)
    return networks.STUDENTS["dull" if what == "dstfc" else "intelligent"]


def build(stage, *, own_folder):
    """Fills a folder with everything that the pages name.

    Args:
      stage: An empty folder.
      own_folder: Whether `my_videos` has the layout `folder` rather than `got10k`.
    """
    write_synthetic(stage / "raw", VIDEO, seed=0)
    for name in ("train", "data/got10k/train", *(() if own_folder else ("my_videos",))):
        (stage / name).parent.mkdir(parents=True, exist_ok=True)
        (stage / name).symlink_to(stage / "raw")
    if own_folder:
        write_own_folder(stage / "my_videos", small_packs.write_raw(stage / "small"))
    write_stills(stage / "my_stills", stage / "raw")
    for name in ("coco_subset", "data/coco"):
        (stage / name).symlink_to(stage / "my_stills")
    write_clip(stage)
    write_otb(stage)
    teacher = Bundle(
        networks.TEACHER,
        init_variables(jax.random.key(0), networks.TEACHER),
        SiamFCTracking(),
        {},
    )
    dull = Bundle(
        networks.STUDENTS["dull"],
        init_variables(jax.random.key(1), networks.STUDENTS["dull"]),
        SiamFCTracking(),
        {},
    )
    save_bundle(teacher, stage / "teacher.bundle")
    save_bundle(dull, stage / "student.bundle")


def write_own_folder(folder, source):
    """Another data set's video as docs/data.md asks for one's own."""
    for sequence in read_sequences(source):
        video = folder / sequence.name
        video.mkdir(parents=True)
        lines = []
        for number, frame in enumerate(sequence.frames):
            name = video / f"{number:04d}.jpg"
            name.write_bytes(pathlib.Path(frame).read_bytes())
            cx, cy, w, h = sequence.boxes[number].tolist()
            seen = f"{cx - w / 2},{cy - h / 2},{w},{h}"
            lines.append(seen if sequence.visible[number] else "absent")
        (video / "boxes.txt").write_text("\n".join(lines) + "\n")


def write_stills(folder, raw):
    """Six frames in COCO's layout."""
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for number, frame in enumerate(sorted(raw.glob("*/00000001.jpg")), start=1):
        name = f"{number:04d}.jpg"
        (folder / "images" / name).write_bytes(frame.read_bytes())
        images.append({"id": number, "file_name": name, "width": 120, "height": 90})
        box = {"id": number, "image_id": number, "category_id": 1}
        annotations.append({**box, "bbox": [30, 20, 40, 40]})
    values = {"images": images, "annotations": annotations}
    categories = [{"id": 1, "name": "thing"}]
    text = json.dumps({**values, "categories": categories})
    (folder / "instances.json").write_text(text)


def write_clip(stage):
    """A folder of frames and a video file, with a target at the pages' box."""
    rng = np.random.default_rng(0)
    texture = np.kron(rng.integers(0, 256, (6, 4, 3)), np.ones((10, 10, 1)))
    frames = np.full((4, 180, 240, 3), 120, np.uint8)
    x, y, w, h = BOX
    frames[:, y : y + h, x : x + w] = texture
    size, code = (240, 180), cv2.VideoWriter.fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(stage / "clip.mp4"), code, 25.0, size)
    (stage / "frames").mkdir()
    for number, frame in enumerate(frames):
        writer.write(frame)
        cv2.imwrite(str(stage / "frames" / f"{number:04d}.png"), frame)
    writer.release()


def write_otb(stage):
    """A sequence in OTB's layout, and its truth as anybody's results."""
    images = stage / "OTB100" / "Square" / "img"
    images.mkdir(parents=True)
    for number, frame in enumerate(sorted((stage / "frames").iterdir()), start=1):
        cv2.imwrite(str(images / f"{number:04d}.jpg"), cv2.imread(str(frame)))
    x, y, w, h = BOX
    lines = f"{x + 1},{y + 1},{w},{h}\n" * 4
    (images.parent / "groundtruth_rect.txt").write_text(lines)
    (stage / "their_results").mkdir()
    (stage / "their_results" / "Square.txt").write_text(lines)
    (stage / "otb").symlink_to(stage / "OTB100")


def write_weights(stage):
    """Weights of both projects under the names that the README uses."""
    from tests import dasiamrpn
    from tests.convert import test_siamfc_pytorch as siamfc

    state = siamfc.state_dict(spec=named("siamfc-alexnet"))
    torch = dasiamrpn.torch
    tensors = {name: torch.from_numpy(value) for name, value in state.items()}
    torch.save(tensors, stage / "siamfc_alexnet_e50.pth")
    network = dasiamrpn.Network((4, 6, 8, 8, 6), 5)
    torch.save(network.state_dict(), stage / "SiamRPNBIG.model")
