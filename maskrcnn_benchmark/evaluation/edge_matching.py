"""One-to-one correspondence between predicted and annotated edge pixels, for every threshold in a single assignment."""

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

# A pair may be at most this fraction of the image diagonal apart: the value for PASCAL (0.011 is NYUD's)
MAX_DISTANCE = 0.0075
# Leaving a pixel without a partner costs as much as this many pairs at the greatest distance (Martin et al. 2004)
_OUTLIER_COST = 100


def edge_thresholds(count):
    """The thresholds of the curves: k / (count + 1) for k = 1..count, float64 [count]."""
    if count < 1:
        raise ValueError(f"edge curves need at least one threshold, got {count}")
    return np.arange(1, count + 1) / (count + 1)


def match_edges(levels, truth, max_distance=MAX_DISTANCE):
    """Pair predicted with annotated edge pixels so that at every threshold as many as possible are paired.

    Predicted pixels above a higher threshold are a subset of those above a lower one, and the sets of pixels that can
    be paired at once form a matroid. So one assignment in which a pixel counts the more the higher its level is a
    largest one at every threshold: the counts equal those of one assignment per threshold (as the published protocol
    makes), at the cost of one. Among largest assignments it takes the least total distance, of all levels together.

    Args:
        levels: int [H, W]; how many thresholds the pixel reaches, 0 where no edge is predicted.
        truth: bool [H, W], annotated edges.
        max_distance: greatest distance of a pair, as a fraction of the image diagonal.

    Returns:
        (predicted, annotated): int64 [M] each, flat pixel indices of the M pairs.
    """
    if levels.shape != truth.shape:
        raise ValueError(f"edge maps differ in size: predicted {levels.shape}, annotated {truth.shape}")
    radius = max_distance * np.hypot(*truth.shape)
    predicted, annotated, distance = _candidate_pairs(levels > 0, truth, radius)
    if len(predicted) == 0:
        return predicted, annotated
    rows, row_of_pair = np.unique(predicted, return_inverse=True)
    columns, column_of_pair = np.unique(annotated, return_inverse=True)
    # Every predicted pixel also has a column of its own, which stands for staying without a partner. One is added to
    # every cost because a sparse matrix cannot hold an edge that costs nothing
    own = np.arange(len(rows))
    outlier_cost = _OUTLIER_COST * max(radius, 1.0) * levels.reshape(-1)[rows]
    costs = csr_matrix(
        (
            np.concatenate([distance, outlier_cost]) + 1.0,
            (np.concatenate([row_of_pair, own]), np.concatenate([column_of_pair, len(columns) + own])),
        ),
        shape=(len(rows), len(columns) + len(rows)),
    )
    row, column = min_weight_full_bipartite_matching(costs)
    paired = column < len(columns)
    return rows[row[paired]], columns[column[paired]]


def _candidate_pairs(predicted, truth, radius):
    """All pairs within the radius (pixels): flat indices predicted, annotated int64 [C], and distances float64 [C]."""
    width = truth.shape[1]
    reach = int(radius)
    offset_y, offset_x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    near = offset_y**2 + offset_x**2 <= radius**2
    offset_y, offset_x = offset_y[near], offset_x[near]
    y, x = np.nonzero(predicted)
    padded = np.pad(truth, reach)
    pair, offset = np.nonzero(padded[y[:, None] + reach + offset_y, x[:, None] + reach + offset_x])
    partner_y, partner_x = y[pair] + offset_y[offset], x[pair] + offset_x[offset]
    return y[pair] * width + x[pair], partner_y * width + partner_x, np.hypot(offset_y, offset_x)[offset]
