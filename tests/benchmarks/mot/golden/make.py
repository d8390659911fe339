"""Make the golden files again: small synthetic scenes and what TrackEval and py-motmetrics say of them.

    python -m venv /tmp/peers
    /tmp/peers/bin/pip install trackeval motmetrics
    /tmp/peers/bin/python tests/benchmarks/mot/golden/make.py [--real ../shared/data/mot]

It runs in an environment of its own, as neither package is needed by this project, and imports nothing of it.
Everything is drawn from seeds. Where the folder of real ground truth is, it is damaged in the same way, and only the
scores are kept (``real.json``); the test damages it again.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
BENCHMARKS = {"any": "MOT15", "mot17": "MOT17", "mot20": "MOT20"}  # our rules → TrackEval's name


def walk(rng, frames, people, size, whole):
    """Rows ``frame, id, x, y, w, h`` of people who walk to and fro in a small place, so that they meet."""
    rows = []
    width, height = size
    for person in range(1, people + 1):
        first, last = sorted(rng.integers(1, frames + 1, 2))
        last = max(last, min(frames, first + 5))
        h = rng.uniform(60, 110)
        w = h * rng.uniform(0.35, 0.5)
        place = rng.uniform((0, 0), (width - w, height - h))
        speed = rng.normal(0, 4, 2)
        for frame in range(first, last + 1):
            place = place + speed + rng.normal(0, 0.7, 2)
            box = np.array([*place, w, h])
            rows.append([frame, person * 3, *(np.round(box) if whole else np.round(box, 2))])
    return np.array(rows)


def damage(rows, seed, whole=False):
    """Results as a mediocre tracker would give: misses, gaps, false alarms, switched and swapped ids, jitter, doubles.

    Args:
        rows: (N, 6 or more) ``frame, id, x, y, w, h``.
        seed: of all that is drawn.
        whole: whether boxes are rounded to pixels, which makes ties.
    """
    rng = np.random.default_rng(seed)
    rows = rows[:, :6].copy()
    rows[:, 1] += 1000
    fresh = 5000
    for one in np.unique(rows[:, 1]):
        mine = np.flatnonzero(rows[:, 1] == one)
        if len(mine) > 8 and rng.random() < 0.4:  # goes on under another id
            fresh += 1
            rows[mine[rng.integers(4, len(mine) - 3) :], 1] = fresh
    for frame in np.unique(rows[:, 0]):
        if rng.random() < 0.04:  # two people swap their ids from here on
            ids = rows[rows[:, 0] == frame, 1]
            if len(ids) > 1:
                a, b = rng.choice(ids, 2, replace=False)
                later = rows[:, 0] >= frame
                first, second = later & (rows[:, 1] == a), later & (rows[:, 1] == b)
                rows[first, 1], rows[second, 1] = b, a
    silent = rng.choice(np.unique(rows[:, 0]), max(1, len(np.unique(rows[:, 0])) // 25), replace=False)
    kept = (rng.random(len(rows)) > 0.12) & ~np.isin(rows[:, 0], silent)
    rows = rows[kept]
    rows[:, 2:4] += rng.normal(0, 0.06, (len(rows), 2)) * rows[:, 4:6]
    rows[:, 4:6] *= np.exp(rng.normal(0, 0.08, (len(rows), 2)))
    alarms = rows[rng.random(len(rows)) < 0.08].copy()
    alarms[:, 2:4] += rng.normal(0, 0.8, (len(alarms), 2)) * alarms[:, 4:6]
    alarms[:, 1] = 100000 + rng.integers(0, 5, len(alarms)) + 10 * np.arange(len(alarms))
    doubles = rows[rng.random(len(rows)) < 0.03].copy()
    doubles[:, 1] += 1000000
    rows = np.concatenate([rows, alarms, doubles])
    rows = rows[np.lexsort((rng.random(len(rows)), rows[:, 0]))]
    rows[:, 2:6] = np.round(rows[:, 2:6]) if whole else np.round(rows[:, 2:6], 2)
    return rows


def make_scenes(folder):
    """Write all synthetic scenes."""
    rng = np.random.default_rng(20161126)
    for rules in BENCHMARKS:
        for number, (frames, people, whole) in enumerate([(40, 7, False), (30, 14, True), (25, 3, False)]):
            truth = walk(rng, frames, people, (320, 200), whole)
            ids = np.unique(truth[:, 1])
            flags, classes = np.ones(len(truth)), np.full(len(truth), -1 if rules == "any" else 1)
            if rules == "any":
                flags[np.isin(truth[:, 1], ids[:: max(2, len(ids) // 2)]) & (rng.random(len(truth)) < 0.3)] = 0
            else:
                for kind, one in zip((6, 7, 3, 8, 2, 12, 9), ids[len(ids) // 2 :], strict=False):
                    classes[truth[:, 1] == one] = kind  # half of them are not to be scored, and mostly marked so
                    flags[truth[:, 1] == one] = rng.random() < 0.3
            write_scene(folder / rules, f"{rules.upper()}-{number + 1}", truth, flags, classes, frames)
            write_results(folder / rules, f"{rules.upper()}-{number + 1}", damage(truth, number, whole))
    truth = walk(rng, 12, 3, (320, 200), False)
    ones = np.ones(len(truth))
    write_scene(folder / "any", "ANY-silent", truth, ones, -ones, 14)
    write_results(folder / "any", "ANY-silent", truth[:0])
    write_scene(folder / "any", "ANY-deserted", truth, 0 * ones, -ones, 14)
    write_results(folder / "any", "ANY-deserted", damage(truth, 1))
    flat = damage(truth, 2)
    flat[::5, 4] = 0  # boxes without a width, as some detectors give
    write_scene(folder / "any", "ANY-flat", truth, ones, -ones, 14)
    write_results(folder / "any", "ANY-flat", flat)


def write_scene(folder, name, truth, flags, classes, frames):
    """``gt/gt.txt`` and ``seqinfo.ini`` of a sequence."""
    path = folder / "groundtruth" / name / "gt" / "gt.txt"
    path.parent.mkdir(parents=True)
    lines = [
        f"{row[0]:.0f},{row[1]:.0f},{row[2]:g},{row[3]:g},{row[4]:g},{row[5]:g},{flag:.0f},{kind:.0f},1\n"
        for row, flag, kind in zip(truth, flags, classes, strict=True)
    ]
    path.write_text("".join(lines))
    (path.parents[1] / "seqinfo.ini").write_text(f"[Sequence]\nname={name}\nseqLength={frames}\n")


def write_results(folder, name, rows):
    """``results/<name>.txt``."""
    path = folder / "results" / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(result_lines(rows)))


def result_lines(rows):
    """Rows as MOTChallenge text."""
    return [f"{r[0]:.0f},{r[1]:.0f},{r[2]:g},{r[3]:g},{r[4]:g},{r[5]:g},1,-1,-1,-1\n" for r in rows]


def run_trackeval(folder, rules, names):
    """What TrackEval says: sequence → name of the metric → number or list; ``combined`` is all of them."""
    import trackeval

    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = trackeval.Evaluator(
            dict.fromkeys(("PRINT_RESULTS", "OUTPUT_SUMMARY", "OUTPUT_DETAILED", "PLOT_CURVES", "TIME_PROGRESS"), False)
        )
        dataset = trackeval.datasets.MotChallenge2DBox(
            {
                "GT_FOLDER": str(folder / "groundtruth"),
                "TRACKERS_FOLDER": str(folder),
                "TRACKERS_TO_EVAL": ["results"],
                "TRACKER_SUB_FOLDER": "",
                "BENCHMARK": BENCHMARKS[rules],
                "SEQ_INFO": dict.fromkeys(names),
                "SKIP_SPLIT_FOL": True,
                "PRINT_CONFIG": False,
            }
        )
        metrics = [
            trackeval.metrics.HOTA(),
            trackeval.metrics.CLEAR({"PRINT_CONFIG": False}),
            trackeval.metrics.Identity({"PRINT_CONFIG": False}),
        ]
        found = evaluator.evaluate([dataset], metrics)[0]["MotChallenge2DBox"]["results"]
    return {
        {"COMBINED_SEQ": "combined"}.get(name, name): {
            field: np.asarray(value, float).tolist()
            for part in ("HOTA", "CLEAR", "Identity", "Count")
            for field, value in result["pedestrian"][part].items()
            if field not in ("Frames",)
        }
        for name, result in found.items()
    }


def run_motmetrics(folder, names):
    """What py-motmetrics says, which knows neither distractors nor classes."""
    # its last release needs NumPy 1, TrackEval NumPy 2
    np.asfarray = lambda values: np.asarray(values, float)  # noqa: NPY201
    import motmetrics

    accumulators = []
    for name in names:
        truth = motmetrics.io.load_motchallenge(folder / "groundtruth" / name / "gt" / "gt.txt", min_confidence=1)
        results = motmetrics.io.load_motchallenge(folder / "results" / f"{name}.txt")
        accumulators.append(motmetrics.utils.compare_to_groundtruth(truth, results, "iou", distth=0.5))
    table = motmetrics.metrics.create().compute_many(
        accumulators, names=list(names), metrics=motmetrics.metrics.motchallenge_metrics + ["idtp", "idfp", "idfn"]
    )
    return {name: {key: float(value) for key, value in row.items()} for name, row in table.T.to_dict().items()}


def real_scenes(real, folder):
    """Damaged copies of the real ground truth, below `folder`; rules → names of sequences."""
    names = {"any": [], "mot17": []}
    for path in sorted(real.glob("*/gt/gt.txt")):
        name = path.parents[1].name
        rules = "mot17" if name.startswith(("MOT16", "MOT17")) else "any"
        if name.endswith(("-FRCNN", "-DPM")):
            continue  # the same ground truth as SDP's
        names[rules].append(name)
        target = folder / rules / "groundtruth" / name
        (target / "gt").mkdir(parents=True)
        shutil.copy(path, target / "gt" / "gt.txt")
        shutil.copy(path.parents[1] / "seqinfo.ini", target)
        write_results(folder / rules, name, damage(np.loadtxt(path, delimiter=","), len(name)))
    return names


def write_json(path, golden):
    """A line for each sequence."""
    parts = [
        f"{json.dumps(part)}: {{\n" + ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in table.items()) + "\n}"
        for part, table in golden.items()
    ]
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n")


def main():
    """Write everything beside this script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, metavar="DIR", help="ground truth of MOTChallenge, to be damaged")
    options = parser.parse_args()
    versions = {name: version(name) for name in ("trackeval", "motmetrics", "numpy", "scipy")}
    for rules in BENCHMARKS:
        shutil.rmtree(HERE / rules, ignore_errors=True)
    make_scenes(HERE)
    for rules in BENCHMARKS:
        names = sorted(path.name for path in (HERE / rules / "groundtruth").iterdir())
        golden = {"versions": versions, "trackeval": run_trackeval(HERE / rules, rules, names)}
        if rules == "any":
            golden["motmetrics"] = run_motmetrics(HERE / rules, [n for n in names if n[-1].isdigit()])
        write_json(HERE / rules / "golden.json", golden)
    if options.real:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            golden = {"versions": versions}
            for rules, names in real_scenes(options.real, folder).items():
                golden[rules] = {
                    name: {key: value if name == "combined" else float(np.mean(value)) for key, value in scores.items()}
                    for name, scores in run_trackeval(folder / rules, rules, names).items()
                }
            write_json(HERE / "real.json", golden)


if __name__ == "__main__":
    main()
