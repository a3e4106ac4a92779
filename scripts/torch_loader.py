"""A plain PyTorch `DataLoader` of training pairs, the yardstick of `bench_data.py`.

As one would write it with care: each worker decodes both frames with OpenCV, cuts the
augmented window out of the frame in one warp, paints in 8 bits, and hands uint8 images
over; the loop turns whole batches into float tensors. OpenCV's own threads are off.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch

from dst_jax.arch import InputSpec
from dst_jax.data.pairs import Pair
from dst_jax.data.pipeline import NumberedExamples
from dst_jax.ops.augment import AugmentConfig

# pysot's matrix of colour offsets, rows red, green and blue, as in our own colour.py.
TINT = np.array(
    [
        [-0.55919361, 0.98062831, -0.41940627],
        [1.72091413, 0.19879334, -1.82968581],
        [4.64467907, 4.73710203, 4.88324118],
    ]
)
# Template and search crop, uint8 RGB, and the box in the latter.
Example = tuple[np.ndarray, np.ndarray, np.ndarray]


class Pairs(torch.utils.data.Dataset):
    """The pairs of `examples`, cut from image files and augmented."""

    def __init__(
        self, examples: NumberedExamples, input: InputSpec, augment: AugmentConfig
    ):
        self.examples, self.input, self.config = examples, input, augment

    def __getitems__(self, indices: Sequence[int]) -> list[Example]:
        """A batch of examples with numbers in a row, their pairs drawn at once."""
        pairs = self.examples.pairs.draw(range(indices[0], indices[-1] + 1)).rows()
        return [self._example(i, p) for i, p in zip(indices, pairs, strict=True)]

    def _example(self, index: int, pair: Pair) -> Example:
        rng = np.random.default_rng((1, index))
        config = self.config
        sequences = self.examples.reader.sequences
        first, second = (sequences[i] for i in (pair[0], pair[2]))
        times = pair.template_frame, pair.search_frame
        stretch = config.stretch
        if config.search_stretch is not None:
            stretch = config.search_stretch
        z, _ = self._cut(
            (first.frames[times[0]], first.boxes[times[0]]),
            self.input.template_px,
            windows(rng, config.stretch, config.scale, config.template_shift_px),
        )
        x, box = self._cut(
            (second.frames[times[1]], second.boxes[times[1]]),
            self.input.train_search_px,
            windows(rng, stretch, config.scale, config.search_shift_px),
        )
        if rng.random() < config.flip:
            z, x = cv2.flip(z, 1), cv2.flip(x, 1)
            box[0] = x.shape[1] - box[0]
        if rng.random() < config.grey:
            z, x = grey(z), grey(x)
        z, x = self._painted(rng, z), self._painted(rng, x)
        if rng.random() < config.blur:
            x = blurred(rng, x, config.blur_px)
        return np.asarray(z), np.asarray(x), box

    def _cut(
        self, target: tuple[str, np.ndarray], px: int, window: tuple[Any, Any]
    ) -> tuple[Any, np.ndarray]:
        path, box = target
        frame = cv2.imread(path)
        assert frame is not None
        fill = cv2.mean(frame)
        margin = self.input.context * float(box[2] + box[3])
        side = np.sqrt((box[2] + margin) * (box[3] + margin))
        zoom, shift = window
        # Crop pixels per frame pixel, and where the target's centre comes to lie.
        scale = self.input.template_px / side * zoom
        centre = 0.5 * px - shift
        offset = centre - 0.5 - scale * (box[:2] - 0.5)
        matrix = np.array([[scale[0], 0.0, offset[0]], [0.0, scale[1], offset[1]]])
        crop = cv2.warpAffine(
            frame,
            matrix,
            (px, px),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=fill,
        )
        seen = np.concatenate([centre, scale * box[2:]]).astype(np.float32)
        return cv2.cvtColor(crop, cv2.COLOR_BGR2RGB), seen

    def _painted(self, rng: np.random.Generator, crop: Any) -> Any:
        offset, factor = np.zeros(3), 1.0
        if self.config.colour:
            offset = -self.config.colour * (TINT @ rng.standard_normal(3))
        if self.config.brightness:
            spread = self.config.brightness
            factor = rng.uniform(1.0 - spread, 1.0 + spread)
        if self.config.colour:
            crop = cv2.add(crop, (*offset, 0.0))  # pyright: ignore
        return cv2.convertScaleAbs(crop, alpha=factor) if factor != 1.0 else crop


def windows(
    rng: np.random.Generator, stretch: float, scale: float, shift_px: float
) -> tuple[np.ndarray, np.ndarray]:
    """Zoom of both axes and shift in pixels of the crop, drawn as `augment` does."""
    zoom = rng.uniform(1.0 - scale, 1.0 + scale) * rng.uniform(
        1.0 - stretch, 1.0 + stretch, 2
    )
    return zoom, rng.uniform(-shift_px, shift_px, 2)


def grey(crop: Any) -> Any:
    """The luma in all three channels."""
    return cv2.cvtColor(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def blurred(rng: np.random.Generator, crop: Any, longest_px: int) -> Any:
    """A blend of running means along rows and along columns."""
    size = 2 * int(rng.integers(2, longest_px // 2 + 1)) + 1
    share = rng.uniform()
    rows, columns = cv2.blur(crop, (size, 1)), cv2.blur(crop, (1, size))
    return cv2.addWeighted(columns, share, rows, 1.0 - share, 0.0)


def start_worker(number: int) -> None:
    """One thread per worker, for OpenCV and PyTorch alike."""
    del number
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def make_loader(pairs: Pairs, *, batch: int, workers: int) -> Any:
    """An iterator over batches of uint8 tensors; it does not end within a bench."""
    return iter(
        torch.utils.data.DataLoader(
            pairs,
            batch_size=batch,
            sampler=range(2**31),  # pyright: ignore[reportArgumentType]
            num_workers=workers,
            worker_init_fn=start_worker,
            prefetch_factor=4,
            multiprocessing_context="forkserver",
        )
    )


def to_floats(batch: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """float32 [b, 3, h, w] of both crops, in the channels' last memory format."""
    z, x = (crops.float().permute(0, 3, 1, 2) for crops in batch[:2])
    return z, x
