"""Which sequences are scored together, and by which rules."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.mot import RULES, Rules


@dataclass(frozen=True)
class DetectionSet:
    """Sequences whose scores are pooled.

    Attributes:
        title: for tables.
        sequences: names of their folders.
        rules: which boxes count.
        note: what to know before comparing with numbers published elsewhere.
    """

    title: str
    sequences: tuple[str, ...]
    rules: Rules
    note: str = ""


MOT17 = "Second halves of the training videos, detections refined by a Tracktor-like step."

SETS = {
    "mot15": DetectionSet(
        "MOT15",
        ("KITTI-13", "TUD-Campus", "TUD-Stadtmitte", "Venice-2"),
        RULES["mot15"],
        "Four of the five sequences that are usually pooled: KITTI-17 is not at hand. The ground truth of KITTI-13 is "
        "rebuilt from KITTI's labels.",
    ),
    "pets": DetectionSet(
        "PETS09-S2L1",
        ("PETS09-S2L1",),
        RULES["mot15"],
        "The ground truth is a close reconstruction: not to be published as a MOT15 result.",
    ),
    "mot17-sdp": DetectionSet(
        "MOT17 val, SDP",
        tuple(f"MOT17val-{number}-SDP" for number in ("02", "04", "05", "10", "11")),
        RULES["mot17"],
        f"{MOT17} Five of seven sequences: 09 and 13 are not at hand.",
    ),
    "mot17-frcnn": DetectionSet(
        "MOT17 val, FRCNN",
        tuple(f"MOT17val-{number}-FRCNN" for number in ("02", "04", "05", "10", "11")),
        RULES["mot17"],
        f"{MOT17} Five of seven sequences.",
    ),
    "mot17-dpm": DetectionSet(
        "MOT17 val, DPM",
        tuple(f"MOT17val-{number}-DPM" for number in ("10", "11")),
        RULES["mot17"],
        f"{MOT17} Two of seven sequences.",
    ),
}
