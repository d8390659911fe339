"""Tracking by detection beside its peers: the same detections, the same scores, the same machine.

`run` has every peer track the same files, each in an environment of its own; `report` scores what is stored. Detections
and ground truth lie as MOTChallenge has them, ``<sequence>/det/det.txt`` and ``<sequence>/gt/gt.txt``.
"""

from benchmarks.association.gaps import fill_gaps
from benchmarks.association.oracle import with_true_identities
from benchmarks.association.peers import PEERS, Peer
from benchmarks.association.sets import SETS, DetectionSet

__all__ = ["PEERS", "SETS", "DetectionSet", "Peer", "fill_gaps", "with_true_identities"]
