"""What devices compute at most, by their makers, and the share that a run reaches."""

from collections.abc import Mapping
from typing import NamedTuple


class Peak(NamedTuple):
    """The highest rate of a kind of device.

    Attributes:
      name: What it is called.
      kinds: What JAX calls it (`device_kind`).
      flops: Dense operations in bfloat16 a second; an addition and a multiplication are
        two.
      source: Who says so.
    """

    name: str
    kinds: tuple[str, ...]
    flops: float
    source: str


_A100 = "A100-SXM4-40GB", "A100-SXM4-80GB", "A100-PCIE-40GB", "A100 80GB PCIe"
_CLOUD, _NVIDIA = "Google, Cloud TPU documentation", "NVIDIA, data sheet"
PEAKS = (
    Peak("NVIDIA H100 SXM", ("NVIDIA H100 80GB HBM3",), 989e12, f"{_NVIDIA} of H100"),
    Peak("NVIDIA H200", ("NVIDIA H200",), 989e12, f"{_NVIDIA} of H200"),
    Peak(
        "NVIDIA A100",
        tuple(f"NVIDIA {name}" for name in _A100),
        312e12,
        f"{_NVIDIA} of A100",
    ),
    Peak("TPU v4", ("TPU v4",), 275e12, f"{_CLOUD}, v4"),
    Peak("TPU v5e", ("TPU v5 lite", "TPU v5e"), 197e12, f"{_CLOUD}, v5e"),
    Peak("TPU v5p", ("TPU v5", "TPU v5p"), 459e12, f"{_CLOUD}, v5p"),
    Peak("TPU v6e", ("TPU v6 lite", "TPU v6e"), 918e12, f"{_CLOUD}, v6e"),
)
MFU = "mfu"


def peak_of(kind: str) -> Peak | None:
    """Returns the peak of a device by what JAX calls it; None if it is not known.

    Example:
      >>> peak_of("TPU v5 lite").name, peak_of("cpu")
      ('TPU v5e', None)
    """
    return next((peak for peak in PEAKS if kind in peak.kinds), None)


def with_mfu(
    values: Mapping[str, float], *, macs: int, kind: str, devices: int
) -> dict[str, float]:
    """Returns a report of training with the share of the peak that it reached.

    "mfu" is the floating-point operations that the layers need, twice their
    multiply-adds, a second, over the peak of all devices. It is left out where the peak
    is not known, as of CPUs. float32 products have a lower peak on GPUs, so that a run
    in float32 cannot reach 1 there.

    Args:
      values: Scalars of a report; those with "pairs_per_s" get the share.
      macs: Multiply-adds that the layers need for a pair, backward passes included.
      kind: What JAX calls the devices.
      devices: How many the run has.

    Example:
      >>> report = {"pairs_per_s": 1000.0}
      >>> with_mfu(report, macs=98_500_000_000, kind="TPU v5e", devices=2)
      {'pairs_per_s': 1000.0, 'mfu': 0.5}
    """
    peak = peak_of(kind)
    if peak is None or "pairs_per_s" not in values:
        return dict(values)
    rate = 2.0 * macs * values["pairs_per_s"]
    return {**values, MFU: rate / (peak.flops * devices)}
