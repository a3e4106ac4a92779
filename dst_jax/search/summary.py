"""What a finished search says of itself, `search.json`."""

import dataclasses
import pathlib
from collections.abc import Sequence

from dst_jax.arch import spec_id
from dst_jax.decode import from_json, to_json
from dst_jax.digests import json_sha256
from dst_jax.errors import InputError
from dst_jax.files import read_json, write_json
from dst_jax.search.ledger import Ledger
from dst_jax.search.loop import Trial, best_trial


@dataclasses.dataclass(frozen=True)
class Summary:
    """The outcome of a search, and what protects it and its ledger.

    Attributes:
      candidates: Number of trials.
      teacher_accuracy: Accuracy of the teacher, acc_t of eq. 6.
      reward: Reward of the best trial.
      accuracy: Its accuracy.
      compression: Its compression.
      step: Its step.
      spec_id: Identity of its architecture.
      platform: What computed the policy's updates; None before there was this field.
      ledger: Digest of the last of the `candidates` lines of the ledger, or None.
      digest: Digest of the other fields, or None.
    """

    candidates: int
    teacher_accuracy: float
    reward: float
    accuracy: float
    compression: float
    step: int
    spec_id: str
    platform: str | None = None
    ledger: str | None = None
    digest: str | None = None


def write_summary(
    path: pathlib.Path, ledger: Ledger, *, teacher_accuracy: float, platform: str
) -> Trial:
    """Writes the summary of a search that holds a possible trial; returns the best."""
    best = best_trial(ledger.trials)
    summary = _summary(ledger.trials, teacher_accuracy)
    summary = dataclasses.replace(summary, platform=platform, ledger=ledger.digests[-1])
    summary = dataclasses.replace(summary, digest=_digest(summary))
    write_json(path, to_json(summary))
    return best


def read_summary(path: pathlib.Path) -> Summary | None:
    """Reads the summary of a search; returns None if there is none.

    Raises:
      InputError: If the file is damaged, or was changed after it was written.
    """
    if not path.exists():
        return None
    mend = "restore the file, or remove it to score the teacher again"
    try:
        summary: Summary = from_json(Summary, read_json(path), "summary")
    except InputError as error:
        where = "" if str(path) in str(error) else f"{path}: "
        raise InputError(f"{where}{error} ({mend}).") from None
    protection = summary.platform, summary.ledger, summary.digest
    # Versions before these fields wrote none of them.
    if protection != (None, None, None) and summary.digest != _digest(summary):
        raise InputError(f"{path}: was changed after it was written; {mend}.")
    if summary.candidates < 1:
        raise InputError(f"{path}: candidates={summary.candidates}; {mend}.")
    return summary


def check_summary(
    path: pathlib.Path, summary: Summary, trials: Sequence[Trial]
) -> None:
    """Checks that a summary is that of the first of `trials`.

    Args:
      path: Of the summary, for the message.
      summary: The summary.
      trials: Trials of the ledger, of which the first `summary.candidates` were there
        when it was written.

    Raises:
      InputError: If it tells of another best trial.
    """
    expected = _summary(trials[: summary.candidates], summary.teacher_accuracy)
    for field in dataclasses.fields(expected):
        ours, theirs = getattr(expected, field.name), getattr(summary, field.name)
        if ours is not None and ours != theirs:
            raise InputError(
                f"{path}: {field.name}={theirs!r}, and the ledger has {ours!r}; "
                "restore the file, or remove it to score the teacher again."
            )


def _summary(trials: Sequence[Trial], teacher_accuracy: float) -> Summary:
    best = best_trial(trials)
    assert best.spec is not None
    return Summary(
        candidates=len(trials),
        teacher_accuracy=teacher_accuracy,
        reward=best.reward,
        accuracy=best.accuracy,
        compression=best.compression,
        step=best.step,
        spec_id=spec_id(best.spec),
    )


def _digest(summary: Summary) -> str:
    return json_sha256(to_json(dataclasses.replace(summary, digest=None)))
