"""Keypoints and limbs as a graph: what is connected, how far apart, and what limbs would do."""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bpnet.commands.skeleton_labels import People

LEAST_TOGETHER = 0.02  # of the people: those that label both ends of a suggested limb
REACH = 0.9  # of the people are within the length that a limb counts as


def suggest_limbs(people: People, mirror: Sequence[int]) -> list[tuple[int, int]]:
    """A tree of short limbs between keypoints that are labelled together, and mirror images.

    The tree is the minimum spanning one by length in the person's scale, where lengths that vary
    and pairs that few people have count as longer: a bone keeps its length, while a wrist that
    often is near a hip is far from it at other times. Limbs point away from the tree's middle.

    Args:
        people: Whose names are the skeleton's keypoints.
        mirror: (K,) the keypoint that each becomes in a mirrored image.
    """
    count = people.xy.shape[1]
    cost = np.full((count, count), np.inf)
    for a, b in itertools.combinations(range(count), 2):
        both = people.labelled[:, a] & people.labelled[:, b]
        if both.any() and both.mean() >= LEAST_TOGETHER:
            away = np.linalg.norm(people.xy[both, a] - people.xy[both, b], axis=1)
            usual, reach = np.quantile(away / people.scale[both], (0.5, REACH)).tolist()
            loose = reach / max(usual, 1e-9)
            cost[a, b] = cost[b, a] = reach * loose / float(both.mean())
    cost = (cost + cost[np.ix_(list(mirror), list(mirror))]) / 2  # a limb goes with its image
    edges = [
        (float(cost[a, b]), a, b)
        for a, b in itertools.combinations(range(count), 2)
        if np.isfinite(cost[a, b])
    ]
    tree = _spanning_tree(sorted(edges), count)
    limbs = _outwards(tree, count)
    for a, b in list(limbs):
        other = (mirror[a], mirror[b])
        if other not in limbs and other[::-1] not in limbs:
            limbs.append(other)
    return limbs


def _spanning_tree(costs: Sequence[tuple[float, int, int]], count: int) -> list[tuple[int, int]]:
    """Kruskal's: the cheapest edges first, each that joins two parts."""
    part = list(range(count))
    tree = []
    for _, a, b in costs:
        if part[a] != part[b]:
            tree.append((a, b))
            part = [part[a] if one == part[b] else one for one in part]
    return tree


def _outwards(tree: Sequence[tuple[int, int]], count: int) -> list[tuple[int, int]]:
    """The edges from the middle of each part on: a start, then what it leads to."""
    steps = graph_distances(tree, count)
    found: list[tuple[int, int]] = []
    for part in parts_of(steps):
        middle = min(part, key=lambda one: (steps[one][list(part)].max(), one))
        away = steps[middle]
        edges = [(a, b) if away[a] < away[b] else (b, a) for a, b in tree if a in part]
        found += sorted(edges, key=lambda edge: (away[edge[1]], edge))
    return found


def parts_of(steps: NDArray[np.float64]) -> list[tuple[int, ...]]:
    """The groups of keypoints that limbs connect, by ``graph_distances``."""
    return sorted({tuple(np.flatnonzero(np.isfinite(row)).tolist()) for row in steps})


def graph_distances(limbs: Sequence[tuple[int, int]], count: int) -> NDArray[np.float64]:
    """(K, K): how many limbs lie between two keypoints; infinity where none lead there."""
    steps = np.full((count, count), np.inf)
    np.fill_diagonal(steps, 0)
    for a, b in limbs:
        steps[a, b] = steps[b, a] = 1
    for through in range(count):  # Floyd and Warshall
        steps = np.minimum(steps, steps[:, through, None] + steps[None, through])
    return steps
