"""A plugin of pytest that gives the hypothesis tests many times their examples.

`attack.py` loads it with `-p attack_fuzz`. ATTACK_TIMES says how many times, and
ATTACK_REPORT names the file for the numbers of examples and of failures.
"""

import json
import os
import pathlib
from typing import Any

import hypothesis
import pytest

# Every test that damages or makes up a file that the program reads.
FILES = (
    "tests/test_damaged_json.py",
    "tests/test_json_text.py",
    "tests/evaluate/test_result_fuzz.py",
    "tests/data/test_annotation_fuzz.py",
    "tests/data/test_image_file.py",
    "tests/data/test_video.py",
    "tests/data/readers/test_broken_files.py",
    "tests/data/readers/test_made_up_annotations.py",
    "tests/data/packs/test_damage.py",
    "tests/search/test_ledger.py",
    "tests/train/test_writers.py",
    "tests/workflows/test_workdir.py",
    "tests/workflows/test_ablation_records.py",
)
_SETTINGS = "_hypothesis_internal_use_settings"  # where the decorator puts them


class _Counter:
    """Counts what the tests did."""

    def __init__(self):
        self.counts: dict[str, Any] = {"examples": 0, "passed": 0, "failed": []}

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Counts a test that ended."""
        if report.failed:
            said = [n for n in report.longreprtext.splitlines() if "Error" in n]
            reason = said[-1].strip() if said else "see its log"
            self.counts["failed"].append(f"{report.nodeid}: {reason}")
        elif report.when == "call" and report.passed:
            self.counts["passed"] += 1

    def pytest_sessionfinish(self) -> None:
        """Writes the numbers."""
        pathlib.Path(os.environ["ATTACK_REPORT"]).write_text(json.dumps(self.counts))


def pytest_configure(config: Any) -> None:
    """Registers the counter."""
    config.pluginmanager.register(_Counter(), "attack")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    """Raises the number of examples of each test, which may have several items."""
    times, seen = int(os.environ["ATTACK_TIMES"]), set()
    counts = config.pluginmanager.get_plugin("attack").counts
    for item in items:
        function = item.obj
        if id(function) not in seen:
            seen.add(id(function))
            before = getattr(function, _SETTINGS, hypothesis.settings())
            more = hypothesis.settings(
                before,
                max_examples=before.max_examples * times,
                derandomize=False,
                deadline=None,
                database=None,
            )
            setattr(function, _SETTINGS, more)
        counts["examples"] += getattr(function, _SETTINGS).max_examples
