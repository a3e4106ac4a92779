"""Says what the public rule of learning rates gives for a run of OSTrack."""

from dst_jax.experiment import Experiment

# Public code trains 128 pairs a step at 4e-4, which falls to a tenth, and other batches
# in proportion.
_BATCH, _RATE, _FALL = 128, 4e-4, 0.1


def rate_rule(experiment: Experiment) -> str | None:
    """Returns what the rule gives for a run with another batch; None for other runs.

    Args:
      experiment: Its `students`, `data.batch` and `optim` are read.
    """
    heads = [spec.head for spec in experiment.students.values()]
    families = [head.family for head in heads if head.one_stream]
    batch, optim = experiment.data.batch, experiment.optim
    if not families or batch == _BATCH:
        return None
    scaled = _RATE * batch / _BATCH
    return (
        f"{families[0]}'s public rate, {_shown(_RATE, _FALL * _RATE)}, is for {_BATCH} "
        f"pairs a step; in proportion, {batch} pairs have "
        f"{_shown(scaled, _FALL * scaled)}, and this run has "
        f"{_shown(optim.learning_rate, optim.final_learning_rate)} "
        "(--optim.learning-rate, --optim.final-learning-rate)."
    )


def _shown(first: float, last: float) -> str:
    return f"{first:g} and at last {last:g}"
