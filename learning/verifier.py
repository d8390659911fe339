"""Who is this? Faces, or whatever an embedding was trained to compare, from a few images of each.

    verifier = Verifier(open_descriptor("faces.safetensors"))
    verifier.calibrate({"anna": [...], "bert": [...], ...}, far=0.01)   # people who will not be enrolled
    verifier.enrol("cora", [first, second, third])
    verifier.verify(image, "cora").accepted
    verifier.identify(image).name                                       # "cora", or "unknown"
    verifier.save("people.safetensors")

Two questions need two thresholds. `verify` compares with one name, and its false accept rate is that of one comparison.
`identify` compares with everybody and takes the best, so that a stranger has as many chances as there are names: its
threshold is the one at which that rate of *strangers* is taken for somebody, in a gallery of the validation's size.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.verification import Threshold, threshold_at_far
from learning.descriptor import Descriptor, open_descriptor
from learning.gallery import Gallery, GalleryError, Match

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Verification:
    """Whether an image shows a name: `accepted` if `score` is at least `threshold`."""

    accepted: bool
    score: float
    threshold: float


@dataclass(frozen=True)
class Identification:
    """Whom an image shows.

    Attributes:
        name: the best match's, or `UNKNOWN` where its score is below the threshold or nobody is enrolled.
        matches: the k best, whether they reach the threshold or not.
        threshold: that of the calibration.
    """

    name: str
    matches: tuple[Match, ...]
    threshold: float


@dataclass(frozen=True)
class Calibration:
    """Thresholds, and what they were chosen on.

    Attributes:
        far: the false accept rate asked for.
        verify: threshold for one name; its impostors are pairs of an image and another person's template.
        identify: threshold for the best of all names; its impostors are images of people taken out of the gallery.
        people: of the validation set; `identify` holds for galleries of about so many names.
        shots: images of a template in the validation.
    """

    far: float
    verify: Threshold
    identify: Threshold
    people: int
    shots: int


class Verifier:
    """Enrolled names and the thresholds by which images are taken for them.

    Args:
        descriptor: makes vectors of images.
        gallery: of names; a new one by default.

    Raises:
        GalleryError: the gallery's vectors are another descriptor's.
    """

    def __init__(self, descriptor: Descriptor, gallery: Gallery | None = None) -> None:
        if gallery is None:
            gallery = Gallery(descriptor.dimensions, descriptor.metric, descriptor.identity, descriptor.name)
        elif (gallery.identity, gallery.dimensions, gallery.metric) != (
            descriptor.identity,
            descriptor.dimensions,
            descriptor.metric,
        ):
            raise GalleryError(
                f"the gallery was made by {gallery.source} ({gallery.identity[:12]}…), not by {descriptor.name} "
                f"({descriptor.identity[:12]}…): vectors of two networks cannot be compared; enrol again"
            )
        self.descriptor, self.gallery = descriptor, gallery
        self.calibration = _calibration(gallery.settings.get("calibration"))

    def enrol(self, name: str, images: Sequence[object]) -> None:
        """Add a name, or more images of one that is there; a few that differ are better than one.

        Args:
            name: any text but `UNKNOWN` and the empty one.
            images: one or more, as `tracker.to_bgr8` takes them.

        Raises:
            ValueError: no image, an image that is none, or such a name. Nobody is enrolled then.
        """
        if name == UNKNOWN:
            raise ValueError(f"{UNKNOWN!r} is the answer for those who are not enrolled; choose another name")
        if not len(images):
            raise ValueError(f"no images to enrol {name!r} from")
        self.gallery.add(name, self.descriptor(images))

    def forget(self, name: str) -> None:
        """Remove a name.

        Raises:
            KeyError: nobody of that name is enrolled.
        """
        self.gallery.remove(name)

    def verify(self, image: object, name: str) -> Verification:
        """Whether an image shows a name.

        Raises:
            KeyError: nobody of that name is enrolled.
            ValueError: not an image, or no threshold has been chosen.
        """
        threshold = self._chosen().verify.value
        score = self.gallery.score(self.descriptor([image])[0], name)
        return Verification(score >= threshold, score, threshold)

    def identify(self, image: object, k: int = 1) -> Identification:
        """Whom an image shows, or that it is nobody enrolled.

        Args:
            image: as `tracker.to_bgr8` takes it.
            k: how many of the best matches to return.

        Raises:
            ValueError: not an image, k below 1, or no threshold has been chosen.
        """
        threshold = self._chosen().identify.value
        matches = tuple(self.gallery.search(self.descriptor([image])[0], k))
        known = bool(matches) and matches[0].score >= threshold
        return Identification(matches[0].name if known else UNKNOWN, matches, threshold)

    def calibrate(self, people: Mapping[str, Sequence[object]], far: float = 0.01, shots: int = 3) -> Calibration:
        """Choose the thresholds on people who are neither enrolled nor were trained on.

        Each person's first images make a template, the others ask. `verify` is calibrated on every image with every
        template, `identify` on the best template for each image, once with its own person enrolled and once without.

        Args:
            people: name → images; those with `shots` images or fewer have templates, but do not ask.
            far: the false accept rate that neither threshold exceeds on these images.
            shots: images of a template; take as many as will be enrolled.

        Returns:
            The thresholds, which are also kept and saved.

        Raises:
            ValueError: too few people or images for such a rate (the message says how many are needed), `shots` below
                1, somebody without images, or an image that is none.
        """
        if shots < 1:
            raise ValueError(f"a template needs one image or more, got {shots}")
        if len(people) < 3:
            raise ValueError(f"a calibration needs three people or more, and as many as can be had; got {len(people)}")
        templates = Gallery(self.descriptor.dimensions, self.descriptor.metric)
        asking, owners = [], []
        for row, (name, images) in enumerate(people.items()):
            if not len(images):
                raise ValueError(f"no images of {name!r} to calibrate with")
            try:
                vectors = self.descriptor(images)
            except ValueError as error:
                raise ValueError(f"{name!r}: {error}") from error
            templates.add(name, vectors[:shots])
            asking.append(vectors[shots:])
            owners += [row] * len(vectors[shots:])
        if not owners:
            raise ValueError(
                f"nobody has more than {shots} images: none is left to ask with; give more, or fewer shots"
            )
        scores = templates.scores(np.concatenate(asking))
        own = np.arange(len(people)) == np.array(owners)[:, None]
        strangers = np.where(own, -np.inf, scores).max(1)
        known = np.where(own, scores, -np.inf).max(1)
        known = np.where(known >= strangers, known, -np.inf)  # found, but as somebody else: no threshold mends that
        ends = float(scores.min()) - 1  # finite, for the middle between two scores
        best = np.concatenate([np.maximum(known, ends), strangers])
        result = Calibration(
            far,
            threshold_at_far(scores.ravel(), own.ravel(), far),
            threshold_at_far(best, np.arange(len(best)) < len(known), far),
            len(people),
            shots,
        )
        self.calibration = result
        return result

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write names, templates and thresholds into one file (see `Gallery.save`, for what it raises, too)."""
        self.gallery.settings["calibration"] = None if self.calibration is None else asdict(self.calibration)
        self.gallery.save(path, overwrite)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        descriptor: Descriptor | None = None,
        device: torch.device | str = "cpu",
    ) -> Verifier:
        """Read what `save` wrote.

        Args:
            path: of the gallery.
            descriptor: that it was made with; by default it is opened by the name that the gallery keeps.
            device: for a descriptor that is opened.

        Raises:
            FileNotFoundError: no such gallery.
            GalleryError: damaged, or another descriptor's.
            WeightsError: the descriptor's weights cannot be opened.
        """
        gallery = Gallery.load(path)
        try:
            return cls(descriptor or open_descriptor(gallery.source, device), gallery)
        except GalleryError as error:
            raise GalleryError(f"{path}: {error}") from error

    def _chosen(self) -> Calibration:
        if self.calibration is None:
            raise ValueError(
                "no threshold has been chosen: calibrate on images of people who are not enrolled (Verifier.calibrate, "
                "or tools/embed.py verify calibrate)"
            )
        return self.calibration


def _calibration(entries: Any) -> Calibration | None:
    """From a gallery's settings.

    Raises:
        GalleryError: they are not a calibration's.
    """
    if entries is None:
        return None
    try:
        parts = {key: Threshold(**entries[key]) for key in ("verify", "identify")}
        result = Calibration(**{**entries, **parts})
        numbers = [result.far, result.verify.value, result.identify.value]
        if all(isinstance(number, float) and math.isfinite(number) for number in numbers):
            return result
    except (TypeError, KeyError) as error:
        raise GalleryError(f"the gallery's calibration is damaged ({error}); calibrate again") from error
    raise GalleryError("the gallery's calibration has thresholds that are no numbers; calibrate again")
