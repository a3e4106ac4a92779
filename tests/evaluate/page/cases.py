"""Trackers of a page, with scores made by hand."""

import dataclasses

from dst_jax.evaluate.page import Benchmark, Entry, Network
from tests.evaluate.test_difference import made

SIZES = {"teacher": 131_500, "dull": 5_000, "intelligent": 20_000}
MACS = {"teacher": 80_000_000, "dull": 8_000_000, "intelligent": 20_000_000}


def scored(auc, **more):
    """A network's score on two videos, of which the second is .01 better."""
    score = made(a=auc, b=auc + 0.01)
    values = {**score.values, "success_auc": auc + 0.005, **more}
    return dataclasses.replace(score, values=values)


def entry(name, *aucs, gate=None, seeds=True, fps=None, stages=None, **fields):
    """The teacher, "STUDENT ROW" or a stranger, with a seed for each AUC."""
    student, _, row = name.partition(" ")
    known = SIZES.get(student) if row or name == "teacher" else None
    networks = [
        Network(
            f"{name} {seed}",
            scored(auc),
            seed=seed if seeds else None,
            gate_open=gate,
            fps=fps,
            stages=stages or {},
        )
        for seed, auc in enumerate(aucs)
    ]
    own = {
        "student": student if row else "",
        "row": row,
        "teacher": name == "teacher",
        "parameters": known,
        "megabytes": None if known is None else 4e-6 * known,
        "search_macs": MACS.get(student) if known else None,
    }
    return Entry(name, tuple(networks), **{**own, **fields})


def benchmark(*entries, **fields):
    return Benchmark("otb:DIR", tuple(entries), **fields)
