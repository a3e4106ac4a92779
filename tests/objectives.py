"""Objectives for the tests, of the tiny networks' layers; changed by path."""

import dataclasses

from dst_jax.distill import DistillConfig, LabelConfig, Response, Setting, with_row

# The tiny networks have three stages and cells of 4 px.
TINY = Setting(
    DistillConfig().with_terms(str=Response(layers=(2, 3))), LabelConfig(radius_px=4.0)
)


def changed(setting, options):
    """`setting` with other values by path, such as "ts.temperature" or "task.x"."""
    for path, value in options.items():
        owner, _, field = path.rpartition(".")
        if owner in ("labels", "task", "model"):
            part = dataclasses.replace(getattr(setting, owner), **{field: value})
            setting = setting._replace(**{owner: part})
            continue
        distill = setting.distill
        if owner:
            term = dataclasses.replace(distill.terms[owner], **{field: value})
            distill = distill.with_terms(**{owner: term})
        else:
            distill = dataclasses.replace(distill, **{field: value})
        setting = setting._replace(distill=distill)
    return setting


def row(setting, name):
    """`setting` with the terms of a row of Table 4 or 5."""
    return setting._replace(distill=with_row(setting.distill, name))
