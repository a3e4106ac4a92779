import json

import cv2
import numpy as np
import pytest

from dst_jax.data.checks.lint import Problems
from dst_jax.data.readers import read_with_report
from dst_jax.data.readers.coco import read_coco
from dst_jax.errors import InputError


def annotation(number, box, **extra):
    return {"id": number, "image_id": 7, "category_id": 1, "bbox": box, **extra}


def write(root, annotations):
    (root / "images").mkdir(exist_ok=True)
    cv2.imwrite(str(root / "images" / "07.png"), np.zeros((40, 60), "u1"))
    image = {"id": 7, "file_name": "07.png", "width": 60, "height": 40}
    content = {
        "images": [image],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "dog"}],
    }
    (root / "instances.json").write_text(json.dumps(content))
    return content


def test_each_box_is_a_sequence_of_one_frame(tmp_path):
    boxes = [annotation(3, [0, 0, 10, 20]), annotation(4, [2.5, 1, 3, 4])]
    write(tmp_path, boxes)
    first, second = read_coco(tmp_path)
    assert (first.name, second.name) == ("07-3", "07-4")
    assert first.video == second.video == "07"
    assert second.boxes.tolist() == [[4.0, 3.0, 3.0, 4.0]]
    assert (first.category, first.size, len(first)) == ("dog", (40, 60), 1)
    assert first.frames == (str(tmp_path / "images" / "07.png"),)


def test_crowds_and_empty_boxes_are_left_out_and_counted(tmp_path):
    boxes = [
        annotation(1, [0, 0, 5, 5]),
        annotation(2, [0, 0, 5, 5], iscrowd=1),
        annotation(3, [0, 0, 0, 5]),
        annotation(4, [0, 0, 5, 0]),
    ]
    write(tmp_path, boxes)
    sequences, report = read_with_report(f"coco:{tmp_path}")
    assert [s.name for s in sequences] == ["07-1"]
    counts = {f.reason: f.frames for f in report.findings}
    assert counts == {"crowd annotation": 1, "box without area": 2}


@pytest.mark.parametrize(
    ("box", "complaint"),
    [
        ([1, 2, 3], "annotation 9: bbox is not 4 numbers"),
        ([1, 2, "x", 4], "bbox is not 4 numbers"),
        ([70, 2, 3, 4], "outside the frame of 60x40"),
        ([float("nan"), 2, 3, 4], "is not finite"),
    ],
)
def test_a_bad_box_is_named(tmp_path, box, complaint):
    write(tmp_path, [annotation(9, box)])
    with pytest.raises(InputError, match=complaint) as caught:
        read_coco(tmp_path)
    assert "instances.json" in str(caught.value)


def test_a_missing_image_is_named(tmp_path):
    write(tmp_path, [annotation(1, [0, 0, 5, 5])])
    (tmp_path / "images" / "07.png").unlink()
    with pytest.raises(InputError, match=r"07\.png.* does not exist"):
        read_coco(tmp_path)
    assert read_coco(tmp_path, frames_required=False)[0].frames == ()


def test_a_file_that_is_no_instance_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_coco(tmp_path)
    path = tmp_path / "instances.json"
    path.write_text("{")
    with pytest.raises(InputError, match="is no JSON file"):
        read_coco(tmp_path)
    path.write_text("[]")
    with pytest.raises(InputError, match="no list 'images'"):
        read_coco(tmp_path)
    path.write_text('{"images": [{"id": 1}], "annotations": []}')
    with pytest.raises(InputError, match=r"images\[0\] lacks \['file_name'"):
        read_coco(tmp_path)
    path.write_text('{"images": [], "annotations": []}')
    with pytest.raises(InputError, match="holds no usable box"):
        read_coco(tmp_path)


def test_an_annotation_of_an_unknown_image_is_named(tmp_path):
    write(tmp_path, [{**annotation(1, [0, 0, 5, 5]), "image_id": 8}])
    with pytest.raises(InputError, match="annotation 1: no image 8"):
        read_coco(tmp_path)


def other(number, **changes):
    return {
        "id": number,
        "file_name": "07.png",
        "width": 60,
        "height": 40,
        **changes,
    }


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (other(8, width=0), r"images\[1\]: \(0, 40\) is no size"),
        (other(8, file_name=3), r"images\[1\]: file_name is no name"),
        ({"id": 8}, r"images\[1\] lacks \['file_name'"),
        (other([8]), r"images\[1\]: id \[8\] is neither a whole number nor text"),
        ("8", r"images\[1\] is no record"),
        (None, r"images\[1\] is no record"),
    ],
)
def test_a_bad_image_takes_its_own_boxes_along_and_no_others(tmp_path, bad, complaint):
    boxes = [
        annotation(1, [0, 0, 5, 5]),
        {**annotation(2, [0, 0, 5, 5]), "image_id": 8},
    ]
    content = write(tmp_path, boxes)
    content["images"].append(bad)
    (tmp_path / "instances.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=complaint):
        read_coco(tmp_path)
    problems = Problems(strict=False)
    assert [s.name for s in read_coco(tmp_path, problems=problems)] == ["07-1"]
    faults = [fault.sequence for fault in problems.faults]
    assert faults == ["images[1]", "annotation 2"]


def test_two_images_of_one_id_are_both_left_out(tmp_path):
    boxes = [
        annotation(1, [0, 0, 5, 5]),
        {**annotation(2, [0, 0, 5, 5]), "image_id": 8},
    ]
    content = write(tmp_path, boxes)
    content["images"] += [other(8), other(8)]
    (tmp_path / "instances.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"images\[2\]: id is taken"):
        read_coco(tmp_path)
    problems = Problems(strict=False)
    assert [s.name for s in read_coco(tmp_path, problems=problems)] == ["07-1"]
    faults = [fault.sequence for fault in problems.faults]
    assert faults == ["images[2]", "annotation 2"]


def test_a_bad_category_is_named_and_leaves_its_boxes_without_one(tmp_path):
    content = write(tmp_path, [annotation(1, [0, 0, 5, 5])])
    content["categories"] = [{"id": 1}]
    (tmp_path / "instances.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"categories\[0\] lacks \['name'\]"):
        read_coco(tmp_path)
    problems = Problems(strict=False)
    (found,) = read_coco(tmp_path, problems=problems)
    assert (found.category, problems.faults[0].sequence) == ("", "categories[0]")


def test_images_without_a_box_are_counted(tmp_path):
    content = write(tmp_path, [annotation(1, [0, 0, 5, 5])])
    content["images"] += [other(8), other(9)]
    (tmp_path / "instances.json").write_text(json.dumps(content))
    _, report = read_with_report(f"coco:{tmp_path}")
    found = [(f.frames, f.reason) for f in report.findings]
    assert found == [(2, "image without an annotation")]


def test_the_real_boxes_are_read(real_data):
    sequences, report = read_with_report(f"coco:{real_data / 'coco_subset'}")
    boxes = [f for f in report.findings if f.sequence != "images"]
    assert len(sequences) + sum(f.frames for f in boxes) == 2678
    assert len({s.video for s in sequences}) <= 353


@pytest.mark.parametrize(
    ("image", "box", "complaint"),
    [
        (
            {"id": 7.0},
            {},
            r"images\[0\]: id 7\.0 is neither .*; write 7\.",
        ),
        (
            {"id": 7.5},
            {},
            r"images\[0\]: id 7\.5 is neither .*; correct",
        ),
        ({"id": True}, {}, r"images\[0\]: id true is neither a whole number nor text"),
        (
            {"id": "7"},
            {},
            r'image_id is 7, the record\'s id is "7"; write',
        ),
        (
            {},
            {"image_id": "7"},
            r'image_id is "7", the record\'s id is 7;',
        ),
        ({}, {"image_id": 7.0}, r"annotations\[0\]: image_id 7\.0 is neither"),
        ({}, {"category_id": "1"}, r'category_id is "1", the record\'s id is 1; write'),
        ({}, {"image_id": 8}, r"annotation 1: no image 8; remove the annotation"),
        ({}, {"image_id": "8"}, r"annotation 1: no image '8'; remove the annotation"),
    ],
)
def test_ids_of_another_type_are_told(tmp_path, image, box, complaint):
    content = write(tmp_path, [{**annotation(1, [0, 0, 5, 5]), **box}])
    content["images"][0].update(image)
    (tmp_path / "instances.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=complaint):
        read_coco(tmp_path)
