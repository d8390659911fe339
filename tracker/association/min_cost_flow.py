"""Which detections are targets, and which follow one another: an exact minimum-cost flow.

Each unit of flow is one target: it enters at a node (a detection, or detections that are surely one target), passes
from node to node forward in time and exits, paying at each step; each node holds one unit. With f_i whether node i is
used and f_ij whether j follows i, of all the ways to choose them the cheapest is wanted:

    minimise   Σ_i f_i (c_i + entry + exit) + Σ_ij f_ij (c_ij − entry − exit)
    so that    Σ_j f_ij ≤ f_i,   Σ_i f_ij ≤ f_j,   0 ≤ f ≤ 1

which is the network of Zhang, Li and Nevatia (CVPR 2008) with the entering and leaving arcs put into the nodes' costs:
whoever follows or is followed need not have entered or left. The constraints' matrix is totally unimodular, so that the
linear programme's corners, which the simplex method returns, are whole.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import csr_array

from tracker.association.trail import Floats, Integers

WHOLE = 1e-6  # how far from 0 or 1 a solution may be


class EmptySolution(ValueError):
    """The costs are such that no track is worth it; the message says which cost."""


def min_cost_flow(
    node_cost: Floats,
    earlier: Integers,
    later: Integers,
    link_cost: Floats,
    entry: float,
    exit: float,
    forced: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.bool_], Integers]:
    """Solve it.

    Args:
        node_cost: (N,) cost of using each node; negative where it is worth it.
        earlier, later: (P,) nodes of each possible link; links must not form a circle (they go forward in time).
        link_cost: (P,).
        entry, exit: cost of beginning and of ending a track.
        forced: (N,) nodes that are used whatever they cost, as they were used before.

    Returns:
        Which nodes are used (N,), and the node that follows each (N,), −1: none.

    Raises:
        RuntimeError: the solver failed, or its solution is not whole.
    """
    n, p = len(node_cost), len(earlier)
    used, following = np.zeros(n, np.bool_), np.full(n, -1, np.int64)
    if n == 0:
        return used, following
    gain = link_cost - entry - exit
    worth = np.flatnonzero(gain < 0)  # of another link the track is cheaper in two
    earlier, later, gain, p = earlier[worth], later[worth], gain[worth], len(worth)
    costs = np.concatenate([node_cost + entry + exit, gain])
    column = n + np.arange(p)
    nodes = np.arange(n)
    rows = np.concatenate([earlier, nodes, n + later, n + nodes])
    columns = np.concatenate([column, nodes, column, nodes])
    values = np.concatenate([np.ones(p), -np.ones(n), np.ones(p), -np.ones(n)])
    low = np.zeros(n + p)
    if forced is not None:
        low[:n][forced] = 1
    matrix = csr_array((values, (rows, columns)), shape=(2 * n, n + p))
    bounds = np.column_stack([low, np.ones(n + p)])
    result = linprog(costs, A_ub=matrix, b_ub=np.zeros(2 * n), bounds=bounds, method="highs-ds")
    if result.x is None:
        raise RuntimeError(f"the flow could not be solved: {result.message}")
    flow = np.round(result.x)
    if np.abs(result.x - flow).max() > WHOLE:
        worst = int(np.argmax(np.abs(result.x - flow)))
        raise RuntimeError(f"the solution is not whole: variable {worst} of {n + p} is {result.x[worst]:.6f}")
    used = flow[:n] > 0
    chosen = flow[n:] > 0
    following[earlier[chosen]] = later[chosen]
    return used, following


def explain_empty(node_cost: Floats, entry: float, exit: float) -> str:
    """Which cost it is that no track is worth."""
    if (node_cost >= 0).all():
        return (
            f"every detection costs something (the least {node_cost.min():.3g}): lower the detection cost, or raise "
            "the probability from which detections are believed"
        )
    return (
        f"entry {entry:.3g} + exit {exit:.3g} exceed what any track gains (the best detections {-node_cost.min():.3g}):"
        " lower the entry or the exit cost"
    )
