"""Says what the public rule of learning rates gives for a run of OSTrack."""

from dst_jax.experiment import Experiment

# Public code trains 128 pairs a step at 4e-4, and other batches in proportion.
_BATCH, _RATE = 128, 4e-4


def rate_rule(experiment: Experiment) -> str | None:
    """Returns what the rule gives for a run with another batch; None for other runs.

    Args:
      experiment: Its `students`, `data.batch` and `optim` are read.
    """
    heads = [spec.head for spec in experiment.students.values()]
    families = [head.family for head in heads if head.one_stream]
    batch, rate = experiment.data.batch, experiment.optim.learning_rate
    if not families or batch == _BATCH:
        return None
    return (
        f"{families[0]}'s public rate of {_RATE:g} is for {_BATCH} pairs a step; in "
        f"proportion, {batch} pairs have {_RATE * batch / _BATCH:g}, and this run has "
        f"{rate:g} (--optim.learning-rate)."
    )
