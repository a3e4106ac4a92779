import dataclasses

import numpy as np
import pytest

from dst_jax.boxes import cxcywh_to_xyxy, iou
from dst_jax.data.readers import read_sequences
from dst_jax.data.synthetic.dataset import (
    SyntheticConfig,
    render_video,
    write_synthetic,
)
from dst_jax.data.synthetic.sprites import Pose, paste, smooth_path
from dst_jax.data.synthetic.textures import SHAPES, cutout, outline, texture
from dst_jax.errors import InputError

SMALL = SyntheticConfig(videos=3, length=6, height=80, width=96)
PLAIN = SyntheticConfig(
    videos=1,
    length=40,
    distractors=0,
    occlusion=0.0,
    camera=0.0,
    illumination=0.0,
    noise=0.0,
)


def render(config, *, seed=0):
    return render_video(np.random.default_rng(seed), config)


@pytest.fixture(scope="module")
def videos():
    config = SyntheticConfig(videos=1, length=60)
    return [render(config, seed=seed) for seed in range(6)]


def bounds(mask):
    rows, columns = np.nonzero(mask)
    low = np.array([columns.min(), rows.min()])
    high = np.array([columns.max() + 1, rows.max() + 1])
    return np.concatenate([0.5 * (low + high), high - low])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [0.45, 0.8, 1.2])
def test_the_box_is_tight_around_the_object_s_pixels(shape, scale):
    rng = np.random.default_rng(1)
    white = np.full((50, 40, 3), 255.0, np.float32)
    sprite = cutout(rng, white, shape=shape)
    sprite[..., :3] = 255.0 * sprite[..., 3:]
    canvas = np.zeros((120, 160, 3), np.float32)
    pose = Pose(70.3, 61.6, scale, 0.9 * scale, 25.0)
    box, cover = paste(canvas, sprite, pose)
    np.testing.assert_array_equal(box, bounds(canvas[..., 0] > 127.5))
    np.testing.assert_allclose(cover * 255.0, canvas[..., 0], atol=1e-3)


def test_an_unturned_sprite_keeps_its_place_and_size():
    sprite = np.ones((20, 30, 4), np.float32)
    canvas = np.zeros((60, 80, 3), np.float32)
    box, cover = paste(canvas, sprite, Pose(40.0, 30.0, 1.0, 1.0, 0.0))
    assert box.tolist() == [40.0, 30.0, 30.0, 20.0]
    assert cover[20:40, 25:55].min() == 1.0
    assert cover.sum() == pytest.approx(600.0)


def test_the_box_of_an_object_at_the_border_reaches_outside():
    sprite = np.ones((20, 30, 4), np.float32)
    canvas = np.zeros((60, 80, 3), np.float32)
    box, cover = paste(canvas, sprite, Pose(5.0, 58.0, 1.0, 1.0, 0.0))
    assert box.tolist() == [5.0, 58.0, 30.0, 20.0]
    assert cover.sum() == pytest.approx(20 * 12)
    box, cover = paste(canvas, sprite, Pose(500.0, 58.0, 1.0, 1.0, 0.0))
    assert box[0] == 500.0
    assert cover.sum() == 0.0


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_boxes_hold_what_moves_in_the_finished_frames(seed):
    video = render(PLAIN, seed=seed)
    # The camera stands: the median over time is the scene without the target.
    scene = np.median(video.frames, axis=0)
    differs = np.abs(video.frames - scene[None]).max(axis=-1) > 40
    inside, found = 0, 0
    for mask, box in zip(differs, cxcywh_to_xyxy(video.boxes), strict=True):
        x0, y0, x1, y1 = np.clip(np.rint(box), 0, None).astype(int)
        found += mask.sum()
        inside += mask[max(y0 - 1, 0) : y1 + 1, max(x0 - 1, 0) : x1 + 1].sum()
    assert found > 40 * 100
    # What is left is where the target stayed longest, and entered the median.
    assert inside > 0.9 * found


def test_the_same_seed_gives_the_same_bytes_and_another_does_not():
    first, again, other = (render(SMALL, seed=s) for s in (4, 4, 5))
    np.testing.assert_array_equal(first.frames, again.frames)
    np.testing.assert_array_equal(first.boxes, again.boxes)
    assert (first.frames != other.frames).mean() > 0.9


def test_a_tracker_that_never_moves_fails(videos):
    scores = []
    for video in videos:
        still = np.tile(video.boxes[:1], (len(video.boxes), 1))
        overlap = iou(video.boxes, still)[1:]
        scores.append(np.mean(overlap[video.visible[1:]]))
    assert np.mean(scores) < 0.2
    assert max(scores) < 0.5


def test_targets_stay_for_the_most_part_inside_even_in_corners():
    # Fast paths reach every border; a small frame renders quickly.
    config = dataclasses.replace(PLAIN, length=60, height=64, width=80, period=4.0)
    shares = []
    for seed in range(15):
        boxes = render(config, seed=seed).boxes
        clipped = np.clip(cxcywh_to_xyxy(boxes), 0.0, [80.0, 64.0, 80.0, 64.0])
        inside = np.prod(clipped[:, 2:] - clipped[:, :2], axis=1)
        shares.append((inside / np.prod(boxes[:, 2:], axis=1)).min())
    assert 0.6 <= min(shares) < 1.0


def test_targets_start_visible_and_move_smoothly(videos):
    for video in videos:
        assert video.visible[0]
        assert video.visible.mean() > 0.6
        step = np.linalg.norm(np.diff(video.boxes[:, :2], axis=0), axis=1)
        side = np.sqrt(video.boxes[1:, 2] * video.boxes[1:, 3])
        assert np.nanmax(step / side) < 0.8


def test_targets_of_different_videos_look_different(videos):
    colours = []
    for video in videos:
        x, y = video.boxes[0, :2].astype(int)
        colours.append(video.frames[0, y - 4 : y + 5, x - 4 : x + 5].mean(axis=(0, 1)))
    distance = np.linalg.norm(np.array(colours)[:, None] - np.array(colours), axis=-1)
    assert np.median(distance[np.triu_indices(len(colours), 1)]) > 40.0


def test_an_occluded_target_is_absent_and_has_no_box():
    config = dataclasses.replace(PLAIN, occlusion=1.0, length=30, height=96, width=128)
    hidden = [render(config, seed=seed) for seed in range(10)]
    assert any(not video.visible.all() for video in hidden)
    for video in hidden:
        np.testing.assert_array_equal(np.isnan(video.boxes[:, 0]), ~video.visible)


def test_paths_are_smooth_and_bounded():
    path = smooth_path(np.random.default_rng(0), 500, period=20.0)
    assert np.abs(path).max() <= 1.0
    # Half way, the slope is (p0 - 11 p1 + 11 p2 - p3) / 8: at most 3 per interval.
    assert np.abs(np.diff(path)).max() < 3.0 / 20.0
    assert path.std() > 0.3


def test_textures_and_outlines_are_in_range():
    for seed in range(30):
        rng = np.random.default_rng(seed)
        colours = texture(rng, 40, 60, vivid=1.0, cells=3.0)
        assert np.isfinite(colours).all()
        assert colours.std() > 5.0
        mask = outline(rng, SHAPES[seed % 5], height=40, width=60)
        assert 0.0 <= mask.min() <= mask.max() <= 1.0
        # It fills its image but for a border of one or two pixels.
        np.testing.assert_allclose(bounds(mask > 0.5), [30, 20, 57, 37], atol=1.5)
    with pytest.raises(InputError, match="'star' is unknown"):
        outline(np.random.default_rng(0), "star", height=9, width=9)


def test_a_written_set_is_read_back(tmp_path):
    calls = []
    root = write_synthetic(
        tmp_path / "set", SMALL, seed=2, progress=lambda i, n: calls.append((i, n))
    )
    assert calls == [(1, 3), (2, 3), (3, 3)]
    sequences = read_sequences(f"got10k:{root}")
    assert len({s.video for s in sequences}) == 3
    for i, sequence in enumerate(sequences):
        video = render_video(np.random.default_rng((2, i)), SMALL)
        np.testing.assert_array_equal(sequence.visible, video.visible)
        np.testing.assert_allclose(sequence.boxes, video.boxes, atol=1e-3)
        assert sequence.size == (80, 96)
        assert len(sequence.frames) == 6


def test_the_same_set_is_not_written_twice_and_another_is_refused(tmp_path):
    root = write_synthetic(tmp_path / "set", SMALL, seed=2)
    before = (root / "list.txt").stat().st_mtime_ns
    write_synthetic(root, SMALL, seed=2)
    assert (root / "list.txt").stat().st_mtime_ns == before
    with pytest.raises(InputError, match="is not this data set"):
        write_synthetic(root, SMALL, seed=3)


def test_an_interrupted_set_leaves_nothing(tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_synthetic(tmp_path / "set", SMALL, seed=2, progress=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("videos", 0),
        ("length", 0),
        ("height", 10),
        ("similar", 1.5),
        ("noise", -1.0),
        ("scale_range", (1.6, 0.6)),
        ("period", float("nan")),
    ],
)
def test_a_bad_field_is_named(field, value):
    with pytest.raises(InputError, match=field):
        SyntheticConfig(**{"videos": 1, field: value})
