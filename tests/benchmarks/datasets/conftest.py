"""Made-up data sets in the layouts of real ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest

Boxes = Iterable[Iterable[float]]

SHARED = Path(__file__).parents[4] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The research data beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("needs the research data in ../shared")
    return SHARED


@pytest.fixture(scope="session")
def picture() -> Callable[[int], np.ndarray]:
    """Frame number → an image that says which frame it is, even after compression: by its level."""
    return lambda index: np.full((48, 64, 3), 20 + 20 * (index % 11), np.uint8)


@pytest.fixture(scope="session")
def some_boxes() -> Callable[[int], np.ndarray]:
    """N → (N, 4) boxes in the way files have them."""
    return lambda count: np.column_stack([np.arange(count) % 30 + 1.0, *np.full((3, count), [[5.0], [12.0], [10.0]])])


@pytest.fixture(scope="session")
def write_images(picture: Callable[[int], np.ndarray]) -> Callable[..., None]:
    """Images of a folder, numbered from `first` on; without `real` they are empty files, which do for counting."""

    def write(
        folder: Path, count: int, first: int = 1, digits: int = 4, suffix: str = ".jpg", real: bool = False
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for index in range(count):
            path = folder / f"{first + index:0{digits}d}{suffix}"
            if real:
                assert cv2.imwrite(str(path), picture(index))
            else:
                path.touch()

    return write


@pytest.fixture(scope="session")
def write_video(picture: Callable[[int], np.ndarray]) -> Callable[[Path, int], None]:
    def write(path: Path, count: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25, (64, 48))
        for index in range(count):
            writer.write(picture(index))
        writer.release()

    return write


@pytest.fixture(scope="session")
def write_boxes() -> Callable[..., None]:
    """A text file with a row of numbers a line."""

    def write(path: Path, rows: Boxes, separator: str = ",") -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(separator.join(f"{value:g}" for value in row) + "\n" for row in rows))

    return write
