"""One-shot recognition that knows how images of one class differ from each other.

Within-class covariance normalisation (Hatch, Kajarekar, Stolcke, "Within-class covariance normalization for SVM-based
speaker recognition", Interspeech 2006): directions in which images of known classes differ from others of their own
class count less for classes that are new.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmarks.clusters import unit

RIDGE = 1.0  # mean variances, added to all: directions in which known classes hardly vary are not blown up


@dataclass(frozen=True)
class Whitening:
    """What was learned about the variation within classes.

    Attributes:
        matrix: (D, D), symmetric; C^(−1/2) of the covariance C within classes, regularised.
    """

    matrix: NDArray[np.float64]

    @classmethod
    def fit(cls, embeddings: ArrayLike, labels: ArrayLike, dimensions: int) -> Whitening:
        """Learn from known classes.

        Args:
            embeddings: (n, V·D) of images, one or more views of D dimensions joined (`EmbeddingNetwork.embed`).
            labels: (n,) class of each image.
            dimensions: D.

        Raises:
            ValueError: not one class has two images that differ.
        """
        vectors, (_, classes) = np.asarray(embeddings, np.float64), np.unique(np.asarray(labels), return_inverse=True)
        sums = np.zeros((int(classes.max()) + 1, vectors.shape[1]))
        np.add.at(sums, classes, vectors)
        within = (vectors - (sums / np.bincount(classes)[:, None])[classes]).reshape(-1, dimensions)
        covariance = within.T @ within / len(within)
        variance = float(np.trace(covariance)) / dimensions
        if not variance > 0:
            raise ValueError("no class has two images that differ: nothing to learn about the variation within classes")
        values, directions = np.linalg.eigh(covariance + RIDGE * variance * np.eye(dimensions))
        return cls(directions * values**-0.5 @ directions.T)

    def compare(self, queries: ArrayLike, support: ArrayLike) -> NDArray[np.float64]:
        """How alike queries are to the one known image of each class of a task; larger is more alike.

        What the support has in common, such as an alphabet's manner, tells none of it apart, so its mean is taken off.

        Args:
            queries: (q, V·D) embeddings.
            support: (N, V·D), of N ≥ 2 images.

        Returns:
            (q, N) cosines in [−1, 1], the mean over the views; those equal to seven digits are equal.
        """
        one, other = (self._whitened(each) for each in (queries, support))
        mean = other.mean(axis=0)
        cosines = np.einsum("qvd,nvd->qn", unit(one - mean), unit(other - mean)) / one.shape[1]
        return np.asarray(np.round(cosines, 7))

    def _whitened(self, embeddings: ArrayLike) -> NDArray[np.float64]:
        """(n, V·D) → (n, V, D)."""
        vectors = np.asarray(embeddings, np.float64)
        return np.asarray(vectors.reshape(len(vectors), -1, len(self.matrix)) @ self.matrix)
