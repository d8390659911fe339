"""The flow against all possible sets of tracks, against networkx, and against costs that leave nothing."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.association.min_cost_flow import explain_empty, min_cost_flow

COST = st.integers(-20, 20)


@st.composite
def graphs(draw: st.DrawFn, most: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int, int]:
    n = draw(st.integers(0, most))
    pairs = [pair for pair in itertools.combinations(range(n), 2) if draw(st.booleans())][:9]
    earlier, later = (np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1))
    node = np.array(draw(st.lists(COST, min_size=n, max_size=n)), float)
    link = np.array(draw(st.lists(COST, min_size=len(pairs), max_size=len(pairs))), float)
    return node, earlier, later, link, draw(st.integers(0, 9)), draw(st.integers(0, 9))


def price(node, earlier, later, link, entry, exit, used, following) -> float:
    """What a solution costs, track by track."""
    costs = {(a, b): cost for a, b, cost in zip(earlier, later, link, strict=True)}
    total = float(node[used].sum())
    followed = {int(after) for after in following if after >= 0}
    for i in np.flatnonzero(used):
        total += entry * (i not in followed) + exit * (following[i] < 0)
        if following[i] >= 0:
            total += costs[i, following[i]]
    return total


def cheapest(node, earlier, later, link, entry, exit) -> float:
    """The same over all sets of links that share no end and no start, and all sets of nodes."""
    best = 0.0
    n, p = len(node), len(earlier)
    for chosen in itertools.product((False, True), repeat=p):
        picked = np.flatnonzero(chosen)
        if len(set(earlier[picked])) < len(picked) or len(set(later[picked])) < len(picked):
            continue
        linked = set(earlier[picked]) | set(later[picked])
        total = sum(link[picked])
        total += sum(node[i] for i in linked) + (entry + exit) * (len(linked) - len(picked))
        total += sum(min(0.0, node[i] + entry + exit) for i in range(n) if i not in linked)
        best = min(best, total)
    return best


@given(graphs())
@settings(deadline=None, max_examples=60)
def test_no_other_set_of_tracks_is_cheaper(graph) -> None:
    used, following = min_cost_flow(*graph)
    node, *rest = graph
    assert used[following >= 0].all()
    assert used[following[following >= 0]].all()
    assert len(set(following[following >= 0])) == np.count_nonzero(following >= 0)
    assert price(node, *rest, used, following) == pytest.approx(cheapest(*graph))


@given(graphs(most=14))
@settings(deadline=None, max_examples=40)
def test_it_costs_what_networkx_finds(graph) -> None:
    networkx = pytest.importorskip("networkx")
    node, earlier, later, link, entry, exit_cost = graph
    network = networkx.DiGraph()
    n = len(node)
    network.add_node("source", demand=-n)
    network.add_node("sink", demand=n)
    network.add_edge("source", "sink", capacity=n, weight=0)  # units that are not tracks
    for i in range(n):
        network.add_edge("source", ("in", i), capacity=1, weight=int(entry))
        network.add_edge(("in", i), ("out", i), capacity=1, weight=int(node[i]))
        network.add_edge(("out", i), "sink", capacity=1, weight=int(exit_cost))
    for a, b, cost in zip(earlier, later, link, strict=True):
        network.add_edge(("out", int(a)), ("in", int(b)), capacity=1, weight=int(cost))
    used, following = min_cost_flow(*graph)
    expected = networkx.cost_of_flow(network, networkx.min_cost_flow(network))
    assert price(*graph, used, following) == pytest.approx(expected)


def test_forced_nodes_are_used_at_any_cost() -> None:
    used, _ = min_cost_flow(
        np.array([50.0, 50.0]), np.empty(0, int), np.empty(0, int), np.empty(0), 1, 1, np.array([True, False])
    )
    assert used.tolist() == [True, False]


def test_it_says_which_cost_leaves_nothing() -> None:
    assert "detection" in explain_empty(np.array([0.5, 2.0]), 1, 1)
    assert "entry" in explain_empty(np.array([-0.5, 2.0]), 1, 1)
