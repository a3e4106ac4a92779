"""Readers turn a data set on disk into `Sequence` values."""

from dst_jax.data.readers.coco import read_coco as read_coco
from dst_jax.data.readers.dispatch import READERS as READERS
from dst_jax.data.readers.dispatch import read_sequences as read_sequences
from dst_jax.data.readers.dispatch import read_with_report as read_with_report
from dst_jax.data.readers.dispatch import reader_of as reader_of
from dst_jax.data.readers.got10k import read_got10k as read_got10k
from dst_jax.data.readers.otb import read_otb as read_otb
