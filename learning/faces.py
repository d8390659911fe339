"""Enrol names from a few images, verify and identify: faces, or whatever a network was trained to compare.

examples:
  python tools/embed.py verify unseen orl --data ../shared/data/orl --output runs/faces.safetensors
      train on three quarters of the people, judge on the others; every person is once among the unseen
  python tools/embed.py verify enrol people.safetensors friends/ --model runs/faces.safetensors
      one folder a name, a few images in each: friends/anna/1.jpg …
  python tools/embed.py verify calibrate people.safetensors strangers/ --far 0.01
      choose the thresholds on people who are not enrolled, laid out alike
  python tools/embed.py verify check people.safetensors door.jpg anna
  python tools/embed.py verify identify people.safetensors door.jpg --top 3 --json
  python tools/embed.py verify list people.safetensors
  python tools/embed.py verify forget people.safetensors anna

`python tools/embed.py verify ACTION --help` has more of each. Images show the face alone, as those do that the network
was trained on: nothing is detected or cut out.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from learning import unseen
from learning.descriptor import open_descriptor
from learning.gallery import Gallery
from learning.search import read_image
from learning.verifier import Verifier
from tracker.arguments import positive, share
from tracker.frame import Image
from tracker.sources import IMAGE_SUFFIXES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions of ``embed.py verify`` and their options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, words: str, call: Callable[[argparse.Namespace], str]) -> argparse.ArgumentParser:
        command = actions.add_parser(name, help=words, description=words)
        command.set_defaults(act=call)
        if call is not unseen.run_command:
            command.add_argument("gallery", type=Path, metavar="GALLERY", help=".safetensors of the names")
            command.add_argument("--device", default="cpu", help="for the network (default: %(default)s)")
            command.add_argument("--json", action="store_true", help="print the answer as JSON")
        return command

    enrol = action("enrol", "enrol the names of a folder, or add images to them", _enrol)
    enrol.add_argument("folder", type=Path, metavar="FOLDER", help="with a folder of images for each name")
    enrol.add_argument("--model", metavar="NAME|PATH", help="for a new gallery: what describes images")
    calibrate = action("calibrate", "choose the thresholds on people who are not enrolled", _calibrate)
    calibrate.add_argument("folder", type=Path, metavar="FOLDER", help="with a folder of images for each of them")
    calibrate.add_argument("--far", type=share, default=0.01, help="false accept rate (default: %(default)s)")
    calibrate.add_argument("--shots", type=positive, default=3, help="images of a template (default: %(default)s)")
    check = action("check", "whether an image shows a name", _check)
    check.add_argument("image", type=Path, metavar="IMAGE")
    check.add_argument("name", metavar="NAME")
    identify = action("identify", "whom images show, or that it is nobody enrolled", _identify)
    identify.add_argument("images", type=Path, nargs="+", metavar="IMAGE")
    identify.add_argument("--top", type=positive, default=1, metavar="K", help="matches to show (default: %(default)s)")
    action("list", "the names of a gallery, its network and thresholds", _list)
    forget = action("forget", "remove names", _forget)
    forget.add_argument("names", nargs="+", metavar="NAME")
    judge = action("unseen", "train and judge on classes never seen, each class once", unseen.run_command)
    judge.description, judge.formatter_class = unseen.__doc__, argparse.RawDescriptionHelpFormatter
    unseen.add_arguments(judge)


def run(options: argparse.Namespace) -> str:
    """Do what the action says; returns the text to print.

    Raises:
        ValueError, OSError: what was asked cannot be done; one line.
    """
    try:
        act: Callable[[argparse.Namespace], str] = options.act
        return act(options)
    except KeyError as error:
        raise ValueError(error.args[0]) from error


def read_people(folder: Path) -> dict[str, list[Image]]:
    """The images of each folder in a folder, by its name; hidden ones are left out.

    Raises:
        NotADirectoryError: no such folder.
        ValueError: no folders in it, one without images, or an image that cannot be read.
    """
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder}: no such folder")
    people = {}
    for place in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        files = sorted(path for path in place.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
        if not files:
            raise ValueError(f"{place}: no image in it; add some, or remove the folder")
        people[place.name] = [_image(path) for path in files]
    if not people:
        raise ValueError(f"{folder} has no folders in it; expected {folder}/NAME/IMAGE")
    return people


def _image(path: Path) -> Image:
    image = read_image(path)
    if image is None:
        raise ValueError(f"{path}: {'not a readable image' if path.exists() else 'no such file'}")
    return image


def _enrol(options: argparse.Namespace) -> str:
    people = read_people(options.folder)
    if options.gallery.exists():
        verifier = _load(options)
        if options.model and open_descriptor(options.model, options.device).identity != verifier.gallery.identity:
            raise ValueError(
                f"{options.gallery} was made by {verifier.gallery.source}, not by {options.model}; name another gallery"
            )
    elif not options.model:
        raise ValueError(f"{options.gallery} does not exist yet; say by --model what is to describe its images")
    else:
        verifier = Verifier(open_descriptor(options.model, options.device))
    new = [name for name in people if name not in verifier.gallery]
    for name, images in people.items():
        verifier.enrol(name, images)
    verifier.save(options.gallery, overwrite=True)  # with all that was in it
    count = sum(len(images) for images in people.values())
    counts = {"names": len(verifier.gallery), "new": len(new), "images": count}
    hint = "" if verifier.calibration else "; no threshold yet: `verify calibrate` chooses one"
    text = f"{count} images, {len(new)} new names; {options.gallery} has {len(verifier.gallery)} names{hint}"
    return json.dumps(counts) if options.json else text


def _calibrate(options: argparse.Namespace) -> str:
    verifier, people = _load(options), read_people(options.folder)
    if twice := sorted(set(people) & set(verifier.gallery)):
        raise ValueError(f"enrolled already, so not to be calibrated on: {', '.join(twice[:5])}")
    chosen = verifier.calibrate(people, options.far, options.shots)
    verifier.save(options.gallery, overwrite=True)
    if options.json:
        return json.dumps(verifier.gallery.settings["calibration"])
    lines = [f"on {chosen.people} people, templates of {chosen.shots} images, at most {chosen.far:.2%} false accepts:"]
    for question, found in (("verify", chosen.verify), ("identify", chosen.identify)):
        lines.append(
            f"{question:>9}: threshold {found.value:.4f}, false accepts {found.far:.2%} of {found.impostors}, "
            f"true accepts {found.tar:.2%} of {found.genuine}"
        )
    return "\n".join(lines)


def _check(options: argparse.Namespace) -> str:
    found = _load(options).verify(_image(options.image), options.name)
    answer = {"name": options.name, "accepted": found.accepted, "score": found.score, "threshold": found.threshold}
    words = "yes" if found.accepted else "no"
    return json.dumps(answer) if options.json else f"{words}: score {found.score:.4f}, threshold {found.threshold:.4f}"


def _identify(options: argparse.Namespace) -> str:
    verifier, answers, lines = _load(options), [], []
    for path in options.images:
        found = verifier.identify(_image(path), options.top)
        matches = [{"name": match.name, "score": match.score} for match in found.matches]
        answers.append({"image": str(path), "name": found.name, "threshold": found.threshold, "matches": matches})
        best = ", ".join(f"{match.name} {match.score:.4f}" for match in found.matches)
        lines.append(f"{path}: {found.name} ({best or 'nobody is enrolled'}; threshold {found.threshold:.4f})")
    return json.dumps(answers) if options.json else "\n".join(lines)


def _list(options: argparse.Namespace) -> str:
    gallery = Gallery.load(options.gallery)
    names = {name: gallery.count(name) for name in gallery}
    calibration: dict[str, Any] | None = gallery.settings.get("calibration")
    if options.json:
        return json.dumps({"model": gallery.source, "names": names, "calibration": calibration})
    lines = [f"{name}: {count} image{'s' * (count > 1)}" for name, count in names.items()]
    far = (calibration or {}).get("far", math.nan)
    threshold = "no threshold yet" if calibration is None else f"thresholds at a false accept rate of {far:.2%}"
    return "\n".join([*lines, f"{len(names)} names, described by {gallery.source}; {threshold}"])


def _forget(options: argparse.Namespace) -> str:
    gallery = Gallery.load(options.gallery)
    gallery.remove(*options.names)
    gallery.save(options.gallery, overwrite=True)
    answer = {"forgotten": options.names, "names": len(gallery)}
    return json.dumps(answer) if options.json else f"{len(options.names)} forgotten, {len(gallery)} names are left"


def _load(options: argparse.Namespace) -> Verifier:
    return Verifier.load(options.gallery, device=options.device)
