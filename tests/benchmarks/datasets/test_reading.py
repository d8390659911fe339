"""Numbers and frames as every layout reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.datasets.benchmark import Damaged
from benchmarks.datasets.reading import frames, missing_numbers, numbers
from benchmarks.frames import ImageFrames

Write = Callable[..., None]


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (["0001", "0002", "0003"], ""),
        (["0247", "0248"], ""),
        (["8", "9", "10"], ""),
        (["0001", "0003"], "0002.jpg is missing"),
        (["8", "11"], "2 are missing, 9.jpg first"),
        (["00099", "00101", "00103"], "2 are missing, 00100.jpg first"),
        (["left", "right"], ""),
        (["0001"], ""),
    ],
)
def test_missing_numbers_are_named_as_the_others_are(names: list[str], missing: str) -> None:
    assert missing_numbers(ImageFrames(tuple(Path(f"{name}.jpg") for name in names))) == missing


def test_rows_are_finite_or_nan_all_over(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("1,2\nnan,NaN\n")
    np.testing.assert_array_equal(numbers(path, "a", columns=2), [[1, 2], [np.nan, np.nan]])
    for row in ("1,nan", "inf,1"):
        path.write_text(f"1,2\n{row}\n")
        with pytest.raises(Damaged, match=f"a: expected 2 numbers a line in {path}, found .* in line 2"):
            numbers(path, "a", columns=2)


def test_images_may_lie_in_the_folder_itself(tmp_path: Path, write_images: Write, write_video: Write) -> None:
    write_images(tmp_path / "a", 3)
    assert len(frames(tmp_path / "a", "a", images=".")) == 3
    write_video(tmp_path / "b" / "frames.mp4", 4)
    assert len(frames(tmp_path / "b", "b", images=".")) == 4
    with pytest.raises(Damaged, match=r"c: expected images in .*c/ or .*frames\.mp4, found No such file or directory"):
        frames(tmp_path / "c", "c", images=".")
