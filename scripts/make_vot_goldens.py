"""Makes tests/evaluate/goldens/vot_toolkit.json: made-up runs and vot-toolkit's scores.

Run:  python3 -m venv KIT
      KIT/bin/pip install vot-toolkit==0.9.0 attributee==0.1.9
      KIT/bin/python scripts/make_vot_goldens.py

The toolkit brings another OpenCV, so that it has an environment of its own, in which
this package is not installed. Its supervised experiment drives the made-up tracker of
tests/evaluate/vot_case.py, and its analyses score what it writes. The golden holds the
overlaps of pairs of regions, where each run starts and fails, a text that it wrote, and
accuracy, robustness and EAO by the intervals of three years. Remake it only to widen
it: the figures are the kit's.
"""

# pyright: reportMissingImports=false
import contextlib
import fnmatch
import importlib.metadata
import io
import json
import pathlib
import sys
from typing import Any

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "evaluate"))
import vot_case  # noqa: E402  (found by the line above)
from vot import config  # noqa: E402
from vot.analysis.supervised import (  # noqa: E402
    AccuracyRobustness,
    AverageAccuracyRobustness,
    EAOCurve,
    EAOScore,
    compute_accuracy,
)
from vot.experiment.multirun import SupervisedExperiment  # noqa: E402
from vot.region import Special, calculate_overlap  # noqa: E402
from vot.region.shapes import Polygon, Rectangle  # noqa: E402
from vot.tracker import (  # noqa: E402
    ObjectStatus,
    OnlineTrackerRuntime,
    Trajectory,
)
from vot.utilities.data import Grid  # noqa: E402

GOLDEN = ROOT / "tests" / "evaluate" / "goldens" / "vot_toolkit.json"
INTERVALS = {"vot2016": (108, 371), "vot2018": (100, 356), "vot2019": (46, 291)}
# Its file is short and has several failures.
SHOWN = "car_001"


def as_region(values: tuple[float, ...]) -> Any:
    """Returns the toolkit's region of a line's numbers."""
    if len(values) == 1:
        return Special(values[0])
    if len(values) == 4:
        return Rectangle(*values)
    return Polygon(list(zip(values[0::2], values[1::2], strict=True)))


class Sequence:
    """As much of the toolkit's sequence as an experiment and its analyses ask for."""

    def __init__(self, name: str):
        self.name = name
        self.size = vot_case.SIZE[::-1]
        self._truth = [as_region(region) for region in vot_case.truth_of(name)]

    def __len__(self) -> int:
        return len(self._truth)

    def objects(self) -> list[str]:
        """Returns the only target."""
        return ["object"]

    def groundtruth(self, frame: int | None = None) -> Any:
        """Returns the true region of a frame, or all."""
        return self._truth if frame is None else self._truth[frame]

    def frame(self, frame: int) -> int:
        """Returns what stands for an image."""
        return frame


class Memory:
    """The toolkit's storage of results, in memory."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def exists(self, name: str) -> bool:
        """Returns whether there is a file of a name."""
        return name in self.texts

    def read(self, name: str) -> io.StringIO:
        """Returns a file, open for reading."""
        return io.StringIO(self.texts[name])

    def find(self, pattern: str) -> list[str]:
        """Returns names that fit a pattern."""
        return fnmatch.filter(self.texts, pattern)

    @contextlib.contextmanager
    def write(self, name: str) -> Any:
        """Yields a file to write."""
        text = io.StringIO()
        yield text
        self.texts[name] = text.getvalue()


class Runtime(OnlineTrackerRuntime):
    """The made-up tracker, which counts its runs."""

    def __init__(self, name: str):
        super().__init__(None)
        self._name, self._start, self._run = name, 0, 0

    def initialize(self, frame: int, new: Any = None) -> tuple[Any, float]:
        """Starts in a frame."""
        self._run += frame == 0
        self._start = frame
        return None, 0.0

    def update(self, frame: int, new: Any = None) -> tuple[Any, float]:
        """Returns the region in the next frame."""
        values = vot_case.predicted(self._name, self._run, self._start, frame)
        return ObjectStatus(as_region(values), {}), 0.0

    def stop(self) -> None:
        """Does nothing."""

    def restart(self) -> None:
        """Does nothing."""


class Experiment(SupervisedExperiment):
    """The toolkit's experiment with that storage and that tracker."""

    def __init__(self, **options: Any):
        super().__init__("baseline", None, early_stop=False, **options)
        self.memory = Memory()

    def results(self, tracker: Any, sequence: Any) -> Memory:
        """Returns the storage."""
        return self.memory

    def _get_runtime(self, tracker: Any, sequence: Any, multiobject: bool = False):
        return Runtime(sequence.name)


def scores(experiment: Experiment, sequences: list[Sequence]) -> dict[str, Any]:
    """Returns accuracy, failures and EAO of each sequence and of all."""
    each = [
        AccuracyRobustness(sensitivity=30).subcompute(experiment, None, sequence, [])
        for sequence in sequences
    ]
    average = AverageAccuracyRobustness(analysis=AccuracyRobustness(sensitivity=30))
    rows = Grid(1, len(each))
    for column, result in enumerate(each):
        rows[0, column] = result
    accuracy, failures, _, _ = average.aggregate(None, sequences, rows)
    (curve,) = EAOCurve().subcompute(experiment, None, sequences, [])
    eao = {}
    for name, (low, high) in INTERVALS.items():
        grid = Grid(1, 1)
        grid[0, 0] = (curve,)
        score = EAOScore(low=low, high=high).compute(experiment, [], [], [grid])
        eao[name] = score[0, 0][0]
    return {
        "sequences": {
            sequence.name: {"accuracy": float(result[0]), "failures": float(result[1])}
            for sequence, result in zip(sequences, each, strict=True)
        },
        "accuracy": float(accuracy),
        "robustness": float(failures),
        "eao": eao,
    }


def main() -> None:
    """Writes the golden."""
    config.results_binary = False
    experiment = Experiment(repetitions=vot_case.RUNS, skip_initialize=vot_case.SKIP)
    sequences = [Sequence(name) for name in vot_case.SEQUENCES]
    for sequence in sequences:
        experiment.execute(None, sequence)
    texts = {
        name.removesuffix(".txt"): text
        for name, text in experiment.memory.texts.items()
        if name.endswith(".txt")
    }
    codes = {
        name: {
            what: [i for i, line in enumerate(text.splitlines()) if line == code]
            for what, code in (("starts", "1"), ("failures", "2"))
        }
        for name, text in texts.items()
    }
    shown = Trajectory.read(experiment.memory, SHOWN).regions()
    accuracy, _ = compute_accuracy(shown, Sequence(SHOWN.removesuffix("_001")))
    size = vot_case.SIZE[::-1]
    overlaps = [
        calculate_overlap(as_region(first), as_region(second), size)
        for first, second in vot_case.pairs()
    ]
    golden = {
        "made_by": f"vot-toolkit {importlib.metadata.version('vot-toolkit')}",
        "overlaps": overlaps,
        "runs": codes,
        "text": {SHOWN: texts[SHOWN]},
        "accuracy": {SHOWN: float(accuracy)},
        "scores": scores(experiment, sequences),
    }
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")
    print(json.dumps(golden["scores"], indent=1))


if __name__ == "__main__":
    main()
