"""Scores of multi-object tracking as a table: percent and counts, a row a sequence and one for all of them."""

from __future__ import annotations

from benchmarks.mot.evaluation import Evaluation

PERCENT = {
    "HOTA": "HOTA",
    "DetA": "DetA",
    "AssA": "AssA",
    "LocA": "LocA",
    "MOTA": "MOTA",
    "MOTP": "MOTP",
    "IDF1": "IDF1",
    "IDP": "IDP",
    "IDR": "IDR",
    "CLR_Re": "recall",
    "CLR_Pr": "precision",
}
COUNTS = {
    "CLR_FP": "FP",
    "CLR_FN": "FN",
    "IDSW": "IDs",
    "Frag": "Frag",
    "MT": "MT",
    "PT": "PT",
    "ML": "ML",
    "IDTP": "IDTP",
    "IDFP": "IDFP",
    "IDFN": "IDFN",
}
HEADER = ["sequence", *PERCENT.values(), *COUNTS.values()]


def rows(evaluation: Evaluation) -> list[list[str]]:
    """Texts of the cells, without the header; the last row is for all sequences together."""
    scores = {name: score.scores() for name, score in evaluation.sequences.items()}
    count, every = len(scores), len(scores) + len(evaluation.missing)
    together = f"{count} of {every} sequences" if evaluation.missing else f"{count} sequences"
    return [
        [name, *(f"{100 * values[key]:.2f}" for key in PERCENT), *(f"{values[key]:.0f}" for key in COUNTS)]
        for name, values in [*scores.items(), (together, evaluation.combined.scores())]
    ]


def terminal(evaluation: Evaluation) -> str:
    """Columns of text."""
    cells = [HEADER, *rows(evaluation)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEADER))]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in cells
    )


def markdown(evaluation: Evaluation) -> str:
    """A Markdown table; the last row is bold."""
    *each, total = rows(evaluation)
    lines = [HEADER, ["---", *["---:"] * (len(HEADER) - 1)], *each, [f"**{cell}**" for cell in total]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
