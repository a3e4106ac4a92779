"""OTB's protocol, and the data sets that are scored by it or nearly so.

Board and Twinnings of OTB-100 end in a true box 0,0,0,0. got10k counts such a frame:
overlap 0, and the distance from the centre of that box. pysot and the benchmark's own
kit in MATLAB count it as missed in the success plot and, oddly, as precise in the
precision plot: pysot measures distances only where the true centre, (-.5, -.5) here, is
positive in x and y, whatever the size is.

UAV123 has frames of NaN. got10k leaves them out. pysot and pytracking count them as
missed, and as precise. pytracking leaves invalid frames out of all other sets.
"""

import dataclasses

from dst_jax.evaluate.protocols.protocol import Protocol

OTB = Protocol("otb/got10k", reproduces="got10k toolkit, ExperimentOTB")
"""OTB as the got10k toolkit scores it, which sets the first prediction to the truth."""

OTB_PYSOT = Protocol(
    "otb/pysot",
    reproduces="pysot toolkit, OPEBenchmark",
    first_frame="given",
    marks=(),
    invalid_truth="precise",
    empty_truth="no_overlap",
    positive_centres=True,
)
OTB_PYTRACKING = Protocol(
    "otb/pytracking",
    reproduces="pytracking and OSTrack, extract_results",
    marks=(),
    invalid_truth="left_out",
    empty_truth="left_out",
    empty_predicted="repeated",
)
UAV123_PYTRACKING = dataclasses.replace(
    OTB_PYTRACKING,
    name="uav123/pytracking",
    invalid_truth="precise",
    empty_truth="precise",
)


def _as(name: str, protocol: Protocol, experiment: str = "") -> Protocol:
    """Returns a protocol under the name of another data set."""
    reproduces = f"got10k toolkit, {experiment}" if experiment else protocol.reproduces
    marks = () if experiment else protocol.marks
    return dataclasses.replace(protocol, name=name, reproduces=reproduces, marks=marks)


FAMILIES = {
    "otb": {"got10k": OTB, "pysot": OTB_PYSOT, "pytracking": OTB_PYTRACKING},
    "dtb70": {"got10k": _as("dtb70/got10k", OTB, "ExperimentDTB70")},
    "uav123": {
        "pytracking": UAV123_PYTRACKING,
        "got10k": _as("uav123/got10k", OTB, "ExperimentUAV123"),
        "pysot": _as("uav123/pysot", OTB_PYSOT),
    },
    "nfs": {
        "got10k": _as("nfs/got10k", OTB, "ExperimentNfS"),
        "pysot": _as("nfs/pysot", OTB_PYSOT),
        "pytracking": _as("nfs/pytracking", OTB_PYTRACKING),
    },
    "tc128": {"got10k": _as("tc128/got10k", OTB, "ExperimentTColor128")},
}
