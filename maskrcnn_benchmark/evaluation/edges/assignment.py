"""Minimum-cost pairing of two sets of points that change step by step: each change is mended, not solved anew."""

import numpy as np

from maskrcnn_benchmark.utils.compiled import compiled

_FAR = np.iinfo(np.int64).max


@compiled
def assign_in_steps(present: np.ndarray, starts: np.ndarray, neighbours: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """The pairing of greatest total gain at every step.

    Points are numbered 0 .. A + B - 1; the first A come and go, the last B are always there. Every point p has a dual
    value y[p] >= 0, and y[p] + y[q] is at least the gain of every pair. A pairing is the best one if that holds with
    equality for its pairs and if y = 0 at every point without a partner (linear programming duality). When a point
    comes in, or loses its partner, this fails at it alone, and one shortest augmenting path mends it (Dijkstra's
    algorithm in the slack y[p] + y[q] - gain; Kuhn 1955, Edmonds and Karp 1972). Few changes need a path that leaves
    their neighbourhood. All arithmetic is on whole numbers, thus exact.

    Args:
        present: bool [K, A], which of the first A points take part in each step; steps are taken from the last.
        starts: int64 [A + B + 1], neighbours of point p are entries starts[p] .. starts[p + 1] of the next two.
        neighbours: int32 [2 E], points of the other kind, each pair once in either direction.
        gains: int64 [2 E], what the pair is worth, positive.

    Returns:
        int32 [K, A]: partner in each step as 0 .. B - 1; -1 for none.
    """
    steps, count = present.shape
    points = len(starts) - 1
    partners = np.empty((steps, count), np.int32)
    here = np.ones(points, np.bool_)
    here[:count] = False
    dual = np.zeros(points, np.int64)
    mate = np.full(points, -1, np.int32)
    left_alone = np.empty(count, np.int32)
    graph, state = (starts, neighbours, gains), (here, dual, mate)
    scratch = (
        np.full(points, _FAR, np.int64),
        np.full(points, -1, np.int32),
        np.empty(points, np.int32),
        np.empty(len(neighbours) + 1, np.int64),
        np.empty(len(neighbours) + 1, np.int32),
    )
    for step in range(steps - 1, -1, -1):
        number = 0
        for p in range(count):
            if here[p] and not present[step, p]:
                here[p], dual[p] = False, 0
                if mate[p] >= 0:
                    left_alone[number] = mate[p]
                    number += 1
                    mate[mate[p]] = -1
                    mate[p] = -1
        # Those who come first: where a point is replaced by one beside it, that takes over its partner at once
        for p in range(count):
            if present[step, p] and not here[p]:
                here[p] = True
                for e in range(starts[p], starts[p + 1]):
                    dual[p] = max(dual[p], gains[e] - dual[neighbours[e]])
                if dual[p] > 0:
                    _mend(p, graph, state, scratch)
        for i in range(number):
            if mate[left_alone[i]] < 0 and dual[left_alone[i]] > 0:
                _mend(left_alone[i], graph, state, scratch)
        for p in range(count):
            partners[step, p] = mate[p] - count if mate[p] >= 0 else -1
    return partners


@compiled
def _mend(root, graph, state, scratch):
    """Make the pairing the best one again where `root` violates it, being without a partner but of dual > 0.

    Others that violate it wait for their turn, unless the root's path ends at one of them.

    The tree of alternating paths holds points of the root's kind (cost: slack up to them) and their partners. The path
    ends at a point of the other kind that has no partner, or at a point of the root's kind that had better lose its
    own; the root may be that one.
    """
    starts, neighbours, gains = graph
    here, dual, mate = state
    cost, came_from, visited, heap_cost, heap_point = scratch
    best, end, end_is_free = dual[root], root, False
    cost[root] = 0
    visited[0] = root
    number = 1
    heap_cost[0], heap_point[0] = 0, root
    size = 1
    while size > 0 and heap_cost[0] < best:
        reached, p = heap_cost[0], heap_point[0]
        size = _pop(heap_cost, heap_point, size)
        if reached > cost[p]:
            continue  # reached more cheaply since this entry was made
        if reached + dual[p] < best:
            best, end, end_is_free = reached + dual[p], p, False
        for e in range(starts[p], starts[p + 1]):
            q = neighbours[e]
            if not here[q] or mate[p] == q:
                continue
            through = reached + dual[p] + dual[q] - gains[e]
            if through >= best:
                continue
            following = mate[q]
            if following < 0:
                best, end, end_is_free = through, q, True
                came_from[q] = p
            elif through < cost[following]:
                if cost[following] == _FAR:
                    visited[number] = following
                    number += 1
                cost[following] = through
                came_from[q] = p
                size = _push(heap_cost, heap_point, size, through, following)
    for i in range(number):
        p = visited[i]
        if cost[p] < best:
            dual[p] -= best - cost[p]
            if p != root:
                dual[mate[p]] += best - cost[p]
        cost[p] = _FAR
    if end_is_free:
        q = end
    elif end == root:
        return
    else:
        q = mate[end]
        mate[end] = -1
    while True:
        p = came_from[q]
        before = mate[p]
        mate[p], mate[q] = q, p
        if p == root:
            return
        q = before


@compiled
def _push(heap_cost, heap_point, size, cost, point):
    """Put an entry into the binary heap; returns its new size."""
    i = size
    while i > 0:
        parent = (i - 1) // 2
        if heap_cost[parent] <= cost:
            break
        heap_cost[i], heap_point[i] = heap_cost[parent], heap_point[parent]
        i = parent
    heap_cost[i], heap_point[i] = cost, point
    return size + 1


@compiled
def _pop(heap_cost, heap_point, size):
    """Take the cheapest entry off the binary heap; returns its new size."""
    size -= 1
    cost, point = heap_cost[size], heap_point[size]
    i = 0
    while True:
        child = 2 * i + 1
        if child >= size:
            break
        if child + 1 < size and heap_cost[child + 1] < heap_cost[child]:
            child += 1
        if heap_cost[child] >= cost:
            break
        heap_cost[i], heap_point[i] = heap_cost[child], heap_point[child]
        i = child
    heap_cost[i], heap_point[i] = cost, point
    return size
