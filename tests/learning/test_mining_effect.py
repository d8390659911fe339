"""The table of mining's effect; the command is tested in tests/tools/test_embed.py."""

from __future__ import annotations

from learning.mining_effect import table


def test_every_way_has_its_row_of_percentages() -> None:
    def rows(*accuracies: float) -> list[dict[str, float]]:
        return [
            {"epoch": k + 1, "accuracy": accuracy, "active": 0.5 / (k + 1), "seconds": 10.4 * (k + 1)}
            for k, accuracy in enumerate(accuracies)
        ]

    text = table({"random": rows(0.9, 0.95), "batch-hard": rows(0.96, 0.991)}, "triplet loss, made up")
    assert text.splitlines()[2:6] == [
        "| mining | epoch 1 | epoch 2 | still active at the end | s |",
        "|---|---|---|---|---|",
        "| random | 90.00 | 95.00 | 25.0 % | 21 |",
        "| batch-hard | 96.00 | 99.10 | 25.0 % | 21 |",
    ]
    assert "triplet loss, made up" in text
