"""LaSOT's protocols: kits differ in absent frames and in normalised precision.

pysot and pytracking drop frames in which the target is out of view or wholly covered,
but divide by the number of all frames, so that a perfect tracker has less than 20/21 on
a sequence with such frames. The got10k toolkit knows no absence: the boxes of those
frames count as they are stated. pysot and pytracking quote normalised precision at .2,
the got10k toolkit the mean of the curve from 0 to .5, which is several points lower.

The extension is read by pytracking under another name, which changes its rules: frames
without a visible target are in no denominator, yet pass the normalised precision curve,
which so can exceed 1.
"""

import dataclasses

from dst_jax.evaluate.protocols.protocol import AUC, OP_50, P_20, Measure, Protocol

NORM_THRESHOLDS = tuple(k / 100 for k in range(51))
NORM_20 = Measure("norm_precision_20", "Pnorm@.2", "norm_precision", "at", 0.2)
NORM_MEAN = Measure("norm_precision_mean", "mean Pnorm", "norm_precision", "mean")

LASOT_PYSOT = Protocol(
    "lasot/pysot",
    reproduces="pysot toolkit, OPEBenchmark",
    measures=(AUC, NORM_20, P_20, OP_50),
    norm_thresholds=NORM_THRESHOLDS,
    first_frame="given",
    marks=("absent", "covered"),
    needs_marks=True,
    unseen="missed",
    invalid_truth="precise",
    positive_centres=True,
)
LASOT_PYTRACKING = Protocol(
    "lasot/pytracking",
    reproduces="pytracking and OSTrack, extract_results",
    measures=(AUC, NORM_20, P_20, OP_50),
    norm_thresholds=NORM_THRESHOLDS,
    marks=("absent", "covered"),
    needs_marks=True,
    unseen="missed",
    invalid_truth="missed",
    empty_truth="missed",
    norm_precise=("invalid", "empty"),
    empty_predicted="repeated",
)
LASOT_GOT10K = Protocol(
    "lasot/got10k",
    reproduces="got10k toolkit, ExperimentLaSOT",
    measures=(AUC, NORM_MEAN, P_20, OP_50),
    norm_thresholds=NORM_THRESHOLDS,
    marks=(),
)
LASOT_EXT_PYTRACKING = dataclasses.replace(
    LASOT_PYTRACKING,
    name="lasot_ext/pytracking",
    unseen="left_out",
    invalid_truth="left_out",
    empty_truth="left_out",
    norm_precise=("unseen", "invalid", "empty"),
)
FAMILIES = {
    "lasot": {
        "pysot": LASOT_PYSOT,
        "pytracking": LASOT_PYTRACKING,
        "got10k": LASOT_GOT10K,
    },
    "lasot_ext": {
        "pytracking": LASOT_EXT_PYTRACKING,
        "pysot": dataclasses.replace(LASOT_PYSOT, name="lasot_ext/pysot"),
        "got10k": dataclasses.replace(LASOT_GOT10K, name="lasot_ext/got10k"),
    },
}
