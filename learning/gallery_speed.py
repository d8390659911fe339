"""How long a search among many enrolled names takes, and how much of that is needed.

    python -m learning.gallery_speed --names 100000 --dimensions 128

Prints JSON: the median milliseconds of one `Gallery.search`, and how many times as long these take on the same vectors
in the same run, each in turn with it: the same product followed by a sort of all scores (numpy), and a plain loop over
the names in Python. The answers of all three are compared. ``product_share`` is the part of the search that the matrix
product alone takes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from learning.gallery import Gallery, Vectors
from tracker.arguments import positive


def random_gallery(names: int, dimensions: int, seed: int = 0) -> tuple[Gallery, Vectors]:
    """A gallery of random directions, and the directions, (names, dimensions)."""
    vectors = np.random.default_rng(seed).normal(size=(names, dimensions)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    gallery = Gallery(dimensions)
    for index in range(names):
        gallery.add(f"name {index}", vectors[index : index + 1])
    return gallery, vectors


def by_gallery(gallery: Gallery, query: Vectors, k: int) -> list[int]:
    """What `Gallery.search` finds, as numbers."""
    return [int(match.name.removeprefix("name ")) for match in gallery.search(query, k)]


def by_sorting(vectors: Vectors, query: Vectors, k: int) -> list[int]:
    """The k largest cosines by a sort of all."""
    return np.argsort(-(vectors @ query), kind="stable")[:k].tolist()


def by_loop(vectors: Vectors, query: Vectors, k: int) -> list[int]:
    """The k largest cosines by one product after the other."""
    scores = [(-float(vector @ query), index) for index, vector in enumerate(vectors)]
    return [index for _, index in sorted(scores)[:k]]


def measure(names: int, dimensions: int, k: int, runs: int, seed: int = 0) -> dict[str, Any]:
    """Median times, the ways in turns.

    Args:
        names: enrolled.
        dimensions: of the vectors.
        k: best matches asked for.
        runs: of each way, but a tenth of them (one at least) of the plain loop.
        seed: of gallery and queries.

    Raises:
        RuntimeError: the ways give different answers.
    """
    gallery, vectors = random_gallery(names, dimensions, seed)
    queries = vectors[np.random.default_rng(seed + 1).integers(names, size=runs)]
    queries = queries + np.float32(0.5 / np.sqrt(dimensions)) * np.random.default_rng(seed + 2).normal(
        size=queries.shape
    ).astype(np.float32)
    seconds: dict[str, list[float]] = {"search": [], "sort": [], "loop": [], "product": []}
    for number, query in enumerate(queries):
        answers = [
            _timed(seconds["search"], by_gallery, gallery, query, k),
            _timed(seconds["sort"], by_sorting, vectors, query, k),
        ]
        _timed(seconds["product"], np.matmul, vectors, query)
        if number % 10 == 0:
            answers.append(_timed(seconds["loop"], by_loop, vectors, query, k))
        if any(set(answer) != set(answers[0]) for answer in answers):
            raise RuntimeError(f"the search found {answers[0]}, others {answers[1:]}")
    median = {way: statistics.median(values) for way, values in seconds.items()}
    return {
        "names": names,
        "dimensions": dimensions,
        "k": k,
        "runs": runs,
        "search_ms": round(1000 * median["search"], 3),
        "search_ms_least": round(1000 * min(seconds["search"]), 3),
        "sort_times": round(median["sort"] / median["search"], 2),
        "loop_times": round(median["loop"] / median["search"], 1),
        "product_share": round(median["product"] / median["search"], 2),
    }


def _timed(record: list[float], call: Callable[..., Any], *arguments: Any) -> Any:
    begin = perf_counter()
    answer = call(*arguments)
    record.append(perf_counter() - begin)
    return answer


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m learning.gallery_speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--names", type=positive, default=100_000, help="(default: %(default)s)")
    parser.add_argument("--dimensions", type=positive, default=128, help="(default: %(default)s)")
    parser.add_argument("--k", type=positive, default=5, help="(default: %(default)s)")
    parser.add_argument("--runs", type=positive, default=100, help="(default: %(default)s)")
    options = parser.parse_args(argv)
    try:
        print(json.dumps(measure(options.names, options.dimensions, min(options.k, options.names), options.runs)))
    except RuntimeError as error:
        print(f"gallery_speed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
