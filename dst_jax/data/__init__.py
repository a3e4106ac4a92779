"""Data sets on disk become host batches here, in NumPy and OpenCV on the CPU."""

from dst_jax.data.checks.lint import BoxFilter as BoxFilter
from dst_jax.data.checks.lint import Finding as Finding
from dst_jax.data.checks.lint import LintReport as LintReport
from dst_jax.data.checks.lint import training_sequences as training_sequences
from dst_jax.data.frames import frame_paths as frame_paths
from dst_jax.data.frames import read_frame as read_frame
from dst_jax.data.pairs import Pair as Pair
from dst_jax.data.pairs import PairConfig as PairConfig
from dst_jax.data.pairs import Pairs as Pairs
from dst_jax.data.pairs import PairSampler as PairSampler
from dst_jax.data.patches import RolePatch as RolePatch
from dst_jax.data.patches import cut_patch as cut_patch
from dst_jax.data.pipeline import DataConfig as DataConfig
from dst_jax.data.pipeline import PatchSpec as PatchSpec
from dst_jax.data.pipeline import fixed_batches as fixed_batches
from dst_jax.data.pipeline import read_sources as read_sources
from dst_jax.data.pipeline import train_batches as train_batches
from dst_jax.data.readers import read_sequences as read_sequences
from dst_jax.data.readers import read_with_report as read_with_report
from dst_jax.data.sequence import Sequence as Sequence
from dst_jax.data.sequence import split_by_video as split_by_video
from dst_jax.data.synthetic.dataset import write_synthetic as write_synthetic
from dst_jax.data.synthetic.rendering import SyntheticConfig as SyntheticConfig
from dst_jax.data.synthetic.rendering import render_video as render_video
from dst_jax.data.video import video_frames as video_frames
