"""Fields that had another name once."""

from collections.abc import Mapping

# New names of renamed fields, as the error states them: "section.old" stands for the
# old name, and "--section.new" for the new one.
RENAMED: Mapping[str, str] = {
    f"distill.{then}": now
    for then, now in {
        "ground_truth": "--distill.gt.weight",
        "teacher_soft": "--distill.ts.weight",
        "adaptive_hard": "--distill.ah.weight",
        "target_response": "--distill.str.weight",
        "sharing": "--distill.ks.weight, 0 for none",
        "temperature": "--distill.ts.temperature and --distill.ks.temperature",
        "soft_kl": "--distill.ts.direction",
        "soft_form": "--distill.ts.form",
        "soft_anchors": "--distill.ts.anchors",
        "response_layers": "--distill.str.layers",
        "response_norm": "--distill.str.norm",
        "response_weighted": "--distill.str.weighted",
        "response_stop_weight": "--distill.str.stop_weight",
        "response_reduction": "--distill.str.reduction",
        "sharing_discount": "--distill.ks.discount",
        "sharing_margin": "--distill.ks.margin",
        "sharing_decay": "--distill.ks.decay",
        "sharing_norm": "--distill.ks.norm",
        "sharing_gate": "--distill.ks.gate",
        "sharing_reduction": "--distill.ks.reduction",
        "stop_peer": "--distill.ks.stop_peer",
        "batch_norm": "--model.batch_norm",
        "label_radius_px": "--labels.radius_px",
        "assign.positive_iou": "--labels.assign.positive_iou",
        "assign.negative_iou": "--labels.assign.negative_iou",
        "assign.positives": "--labels.assign.positives",
        "assign.negatives": "--labels.assign.negatives",
        "assign.window_cells": "--labels.assign.window_cells",
        "assign.window_negatives": "--labels.assign.window_negatives",
        "hard_margin": "--distill.ah.margin",
        "hard_gate": "--distill.ah.gate",
        "regression_weight": "--task.regression_weight",
        "regression_beta": "--task.regression_beta",
    }.items()
}
