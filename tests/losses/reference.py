"""Float64 references of the losses: plain loops over cells, written from the paper."""

import math

import numpy as np


def logistic(response, labels):
    """Eq. (2), cell by cell."""
    out = np.zeros(response.shape)
    for index in np.ndindex(response.shape):
        y = 1.0 if labels[index] == 1.0 else -1.0
        out[index] = math.log1p(math.exp(-y * response[index]))
    return out


def bernoulli_kl(first, second, temperature=1.0):
    """The two terms of eq. (17), cell by cell."""
    out = np.zeros(first.shape)
    for index in np.ndindex(first.shape):
        p1 = 1.0 / (1.0 + math.exp(-first[index] / temperature))
        p2 = 1.0 / (1.0 + math.exp(-second[index] / temperature))
        q1, q2 = 1.0 - p1, 1.0 - p2
        out[index] = p1 * math.log(p1 / p2) + q1 * math.log(q1 / q2)
    return out


def spatial_kl(first, second, temperature=1.0):
    """Eq. (9) with a softmax over the positions of each example."""
    out = np.zeros(first.shape[0])
    for n in range(first.shape[0]):
        e1 = [math.exp(s / temperature) for s in first[n].ravel()]
        e2 = [math.exp(s / temperature) for s in second[n].ravel()]
        for a, b in zip(e1, e2, strict=True):
            p1, p2 = a / sum(e1), b / sum(e2)
            out[n] += p1 * math.log(p1 / p2)
    return out


def activation_map(features):
    """Eq. (12)."""
    out = np.zeros(features.shape[:3])
    for *cell, c in np.ndindex(features.shape):
        out[tuple(cell)] += abs(features[(*cell, c)])
    return out


def target_weight(search, template):
    """Q_x * Q_z with zeros around Q_x, kept at its size."""
    batch, height, width, depth = search.shape
    rows, columns = template.shape[1:3]
    out = np.zeros((batch, height, width))
    for n, u, v, i, j in np.ndindex(batch, height, width, rows, columns):
        y, x = u + i - (rows - 1) // 2, v + j - (columns - 1) // 2
        if 0 <= y < height and 0 <= x < width:
            for c in range(depth):
                out[n, u, v] += search[n, y, x, c] * template[n, i, j, c]
    return out


def distance(student, teacher, norm, reduction):
    """Of two maps [b, h, w], under the options of the response loss."""
    out = np.zeros(student.shape[0])
    for n in range(student.shape[0]):
        s, t = student[n], teacher[n]
        if norm == "l2":
            s = s / math.sqrt(float((s * s).sum()))
            t = t / math.sqrt(float((t * t).sum()))
        squares = sum((a - b) ** 2 for a, b in zip(s.flat, t.flat, strict=True))
        out[n] = squares / s.size if reduction == "mse" else math.sqrt(squares)
    return out


def search_response_loss(sx, sz, tx, tz, norm="l2", weighted=True, reduction="mse"):
    """Eq. (14); W multiplies the features before F, as printed."""
    if weighted:
        sx = sx * target_weight(sx, sz)[..., None]
        tx = tx * target_weight(tx, tz)[..., None]
    return distance(activation_map(sx), activation_map(tx), norm, reduction)


def template_response_loss(sz, tz, norm="l2", reduction="mse"):
    """Eq. (15)."""
    return distance(activation_map(sz), activation_map(tz), norm, reduction)


def _softmax(logits, temperature):
    terms = [math.exp(c / temperature) for c in logits]
    return [t / sum(terms) for t in terms]


def cross_entropy(logits, labels):
    """Two classes per anchor; nothing where the label is -1."""
    out = np.zeros(labels.shape)
    for index in np.ndindex(labels.shape):
        if labels[index] >= 0:
            out[index] = -math.log(_softmax(logits[index], 1.0)[int(labels[index])])
    return out


def softmax_kl(first, second, temperature=1.0):
    """Eq. (9) with the softmax of each anchor's two classes."""
    out = np.zeros(first.shape[:-1])
    for index in np.ndindex(out.shape):
        p1 = _softmax(first[index], temperature)
        p2 = _softmax(second[index], temperature)
        out[index] = sum(a * math.log(a / b) for a, b in zip(p1, p2, strict=True))
    return out


def smooth_l1(predicted, target, beta=1.0):
    """Summed over the four numbers of a box; plain L1 at beta = 0."""
    out = np.zeros(predicted.shape[:-1])
    for *index, c in np.ndindex(predicted.shape):
        d = abs(predicted[(*index, c)] - target[(*index, c)])
        out[tuple(index)] += d * d / (2 * beta) if d < beta else d - beta / 2
    return out


def bounded_regression(
    student, teacher, target, margin=0.005, beta=1.0, gate="anchor", weight=None
):
    """Eq. (10), anchor by anchor, with a gap of each or one of the means."""
    own, other = smooth_l1(student, target, beta), smooth_l1(teacher, target, beta)
    weight = np.ones(own.shape) if weight is None else weight
    out, gaps = np.zeros(own.shape), other - own
    mean = sum(g * w for g, w in zip(gaps.flat, weight.flat, strict=True))
    mean = mean / weight.sum()
    for index in np.ndindex(own.shape):
        if (mean if gate == "batch" else gaps[index]) < margin:
            out[index] = own[index]
    return out


def focal(response, labels):
    """OSTrack's, cell by cell; probabilities stay within 1e-4 and 1 - 1e-4."""
    out = np.zeros(response.shape)
    for index in np.ndindex(response.shape):
        p = 1.0 / (1.0 + math.exp(-response[index]))
        p, y = min(max(p, 1e-4), 1.0 - 1e-4), labels[index]
        if y == 1.0:
            out[index] = -((1.0 - p) ** 2) * math.log(p)
        else:
            out[index] = -((1.0 - y) ** 4) * p**2 * math.log(1.0 - p)
    return out


def _corners(box):
    cx, cy, w, h = box
    return cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2


def giou(predicted, target):
    """Box by box, from the lengths that two intervals share and span."""
    out = np.zeros(predicted.shape[:-1])
    for index in np.ndindex(out.shape):
        a, b = _corners(predicted[index]), _corners(target[index])
        shared = [max(min(a[k + 2], b[k + 2]) - max(a[k], b[k]), 0.0) for k in (0, 1)]
        spanned = [max(a[k + 2], b[k + 2]) - min(a[k], b[k]) for k in (0, 1)]
        areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
        union = sum(areas) - shared[0] * shared[1]
        hull = spanned[0] * spanned[1]
        out[index] = 1.0 - (shared[0] * shared[1] / union - (hull - union) / hull)
    return out


def corner_l1(predicted, target):
    """The mean over the four corners."""
    out = np.zeros(predicted.shape[:-1])
    for index in np.ndindex(out.shape):
        pairs = zip(_corners(predicted[index]), _corners(target[index]), strict=True)
        out[index] = sum(abs(a - b) for a, b in pairs) / 4
    return out


def token_kl(student, teacher, temperature=4.0):
    """T^2 KL(p_T, p_S) of every cell, softmax over its channels, teacher first."""
    out = np.zeros(student.shape[:-1])
    for index in np.ndindex(out.shape):
        p_s = _softmax(student[index], temperature)
        p_t = _softmax(teacher[index], temperature)
        terms = (b * math.log(b / a) for a, b in zip(p_s, p_t, strict=True))
        out[index] = temperature**2 * sum(terms)
    return out


def token_mse(student, teacher):
    """The mean over channels, cell by cell."""
    out = np.zeros(student.shape[:-1])
    for *cell, c in np.ndindex(student.shape):
        difference = student[(*cell, c)] - teacher[(*cell, c)]
        out[tuple(cell)] += difference**2 / student.shape[-1]
    return out


def point_distance(student, teacher, form="mse"):
    """DLF's point loss, feature by feature: the mean square, or the norm."""
    out = np.zeros(student.shape[0])
    for n, *rest in np.ndindex(student.shape):
        out[n] += (teacher[(n, *rest)] - student[(n, *rest)]) ** 2
    return out / student[0].size if form == "mse" else np.sqrt(out)


def cosine(one, other):
    """The cosine of the angle between two vectors, component by component."""
    along = sum(x * y for x, y in zip(one, other, strict=True))
    norms = [math.sqrt(sum(x * x for x in vector)) for vector in (one, other)]
    return along / (norms[0] * norms[1])


def pair_distance(student, teacher):
    """DLF's pair loss as printed, over all pairs of cells."""
    batch, height, width = student.shape[:3]
    cells = list(np.ndindex(height, width))
    out = np.zeros(batch)
    for n in range(batch):
        for i in cells:
            for j in cells:
                ours, theirs = (
                    cosine(f[n][i], f[n][j]) / len(cells) for f in (student, teacher)
                )
                out[n] += (ours - theirs) ** 2
    return out
