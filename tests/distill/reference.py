"""The objective of TSsKD in plain float64 NumPy, written from the equations."""

import numpy as np


def log_sigmoid(x):
    return -np.logaddexp(0.0, -x)


def balanced_logistic(response, labels):
    """Eq. 2; positives and negatives weigh one half each."""
    sign = np.where(labels > 0, 1.0, -1.0)
    loss = np.log1p(np.exp(-sign * response))
    return 0.5 * loss[labels > 0].mean() + 0.5 * loss[labels == 0].mean()


def bernoulli_kl(student, teacher):
    """Per cell: p log(p / p') + q log(q / q')."""
    p, q = 1 / (1 + np.exp(-student)), 1 / (1 + np.exp(student))
    positive = p * (log_sigmoid(student) - log_sigmoid(teacher))
    return positive + q * (log_sigmoid(-student) - log_sigmoid(-teacher))


def balanced_kl(student, teacher, labels):
    values = bernoulli_kl(student, teacher)
    return 0.5 * values[labels > 0].mean() + 0.5 * values[labels == 0].mean()


def weight_map(search, template):
    """W = Q_x * Q_z with zeros around Q_x, one value per cell of Q_x."""
    height, width, _ = search.shape
    i, j, _ = template.shape
    before = (i - 1) // 2, (j - 1) // 2
    w = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            for dy in range(i):
                for dx in range(j):
                    yy, xx = y + dy - before[0], x + dx - before[1]
                    if 0 <= yy < height and 0 <= xx < width:
                        w[y, x] += search[yy, xx] @ template[dy, dx]
    return w


def unit_map(features):
    """F(U), eq. 12, divided by its own norm."""
    total = np.abs(features).sum(-1)
    return total / np.sqrt((total**2).sum())


def target_response(student, teacher, layers):
    """L_STR, eq. 13-15, mean over examples, of two networks' taps by name."""
    total = 0.0
    batch = student[f"template/{layers[0]}"].shape[0]
    for layer in layers:
        for b in range(batch):
            maps = []
            for taps in (student, teacher):
                z, x = taps[f"template/{layer}"][b], taps[f"search/{layer}"][b]
                weighted = weight_map(x, z)[..., None] * x
                maps.append((unit_map(z), unit_map(weighted)))
            (sz, sx), (tz, tx) = maps
            total += ((sz - tz) ** 2).mean() + ((sx - tx) ** 2).mean()
    return total / batch


def sigma(student_loss, teacher_loss, epoch, *, margin=0.005, decay=0.9):
    """Eq. 22."""
    return decay**epoch if student_loss - teacher_loss < margin else 0.0


def smooth_l1(predicted, target, beta=1.0):
    """L_r of eq. 5, summed over the four coordinates of each anchor."""
    d = np.abs(predicted - target)
    inner = 0.5 * d**2 / beta if beta else d
    return np.where(d < beta, inner, d - 0.5 * beta).sum(-1)


def anchor_cross_entropy(logits, labels):
    """Half the mean over positive anchors, half over negative ones."""
    top = logits.max(-1, keepdims=True)
    log_p = logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True))
    means = []
    for value in (1, 0):
        chosen = -log_p[..., value][labels == value]
        means.append(chosen.mean() if chosen.size else 0.0)
    return 0.5 * sum(means)


def pair_mean(values, weights):
    """Weighted within each pair, then the mean over the pairs that have weights."""
    some = [w.sum() > 0 for w in weights]
    totals = [(v * w).sum() for v, w in zip(values, weights, strict=True)]
    return sum(totals) / max(sum(some), 1)


def softmax_kl(student, teacher):
    """Per anchor, over its two classes."""
    return bernoulli_kl(
        student[..., 1] - student[..., 0], teacher[..., 1] - teacher[..., 0]
    )
