"""Pairs of rows and columns with the greatest sum."""

import numpy as np
from numpy.typing import NDArray


def assign(gain: NDArray[np.float64]) -> list[tuple[int, int]]:
    """The pairs (row, column), each row and column in one at most, of the greatest total gain.

    Only gains above 0 make a pair. Most matrices of a tracker are easy, every row's best column
    being no other row's; the rest goes through shortest augmenting paths (Jonker and Volgenant,
    "A shortest augmenting path algorithm for dense and sparse linear assignment problems", 1987).

    Args:
        gain: (R, C), finite.
    """
    if gain.size == 0:
        return []
    rows = np.flatnonzero((gain > 0).any(axis=1))
    columns = np.flatnonzero((gain > 0).any(axis=0))
    dense = np.maximum(gain[np.ix_(rows, columns)], 0)
    if dense.size == 0:
        return []
    best = dense.argmax(axis=1)
    if len(set(best.tolist())) < len(best):
        best = _column_of_each_row(dense)
    return [
        (int(rows[row]), int(columns[column]))
        for row, column in enumerate(best.tolist())
        if column >= 0 and dense[row, column] > 0
    ]


def _column_of_each_row(gain: NDArray[np.float64]) -> NDArray[np.intp]:
    """(R,) the column of each row of ``gain`` (R, C), -1 for none; every gain 0 or more."""
    if gain.shape[0] > gain.shape[1]:
        row_of_column = _column_of_each_row(np.ascontiguousarray(gain.T))
        columns = np.full(gain.shape[0], -1, np.intp)
        columns[row_of_column] = np.arange(gain.shape[1])
        return columns
    cost = gain.max() - gain
    rows, columns = cost.shape
    row_price, column_price = np.zeros(rows), np.zeros(columns)
    owner = np.full(columns, -1, np.intp)  # the row of each column
    for new in range(rows):
        distance = np.full(columns, np.inf)
        before = np.full(columns, -1, np.intp)  # the column before on the path, -1: ``new`` itself
        done = np.zeros(columns, bool)
        row, column, reached = new, -1, 0.0
        while True:
            through = reached + cost[row] - row_price[row] - column_price
            shorter = ~done & (through < distance)
            distance[shorter], before[shorter] = through[shorter], column
            column = int(np.where(done, np.inf, distance).argmin())
            reached = float(distance[column])
            if owner[column] < 0:
                break
            done[column], row = True, int(owner[column])
        row_price[new] += reached
        row_price[owner[done]] += reached - distance[done]
        column_price[done] -= reached - distance[done]
        while column >= 0:
            previous = int(before[column])
            owner[column] = new if previous < 0 else owner[previous]
            column = previous
    taken = np.full(rows, -1, np.intp)
    free = owner >= 0
    taken[owner[free]] = np.flatnonzero(free)
    return taken
