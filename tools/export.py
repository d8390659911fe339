"""Export a model for other runtimes than torch: fp32 or int8 ONNX files, or TensorRT engines.

examples:
  python tools/export.py compact
  python tools/export.py compact --precision int8 --calibrate ../shared/data/video --output weights
  python tools/export.py mine.safetensors --runtime tensorrt --precision fp16
  python tools/export.py compact --precision int8 --calibrate ../shared/data/video --check ../shared/data/video

Without --output the files go to the cache folder, where a runtime that is asked for by name finds them. Beside the
weights, int8 files are what runtime "auto" takes, too. --calibrate is a folder of sequences (SEQUENCE with frames and
groundtruth_rect.txt); those that are kept out of training are left out of it, and --check measures on them what eight
bits cost.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import sys
from pathlib import Path
from typing import Any

from tracker.arguments import positive

RUNTIMES = ("onnxruntime", "openvino", "tensorrt")
PRECISIONS = ("fp32", "fp16", "int8")


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("model", metavar="MODEL", help="a name in weights/, or a .safetensors file")
    add("--runtime", choices=RUNTIMES, default="onnxruntime", help="who is to run it (default: %(default)s)")
    add("--precision", choices=PRECISIONS, help="default: fp32; for tensorrt fp16, which nothing else takes")
    add("--calibrate", type=Path, metavar="DIR", help="sequences whose crops set the scales of int8")
    add(
        "--pairs",
        type=positive,
        default=32,
        help="crops to calibrate on, all of whose activations are held (default: %(default)s)",
    )
    add("--check", type=Path, metavar="DIR", help="measure what int8 costs on the sequences kept out of training")
    add("--output", type=Path, metavar="DIR", help="folder of the files (default: the cache folder)")
    add("--overwrite", action="store_true", help="replace files that are there")
    add("--json", action="store_true", help="print one JSON object instead of text")
    options = parser.parse_args(argv)
    options.precision = options.precision or ("fp16" if options.runtime == "tensorrt" else "fp32")
    if options.precision == "int8" and options.calibrate is None:
        parser.error("--precision int8 needs --calibrate DIR")
    if options.precision == "fp16" and options.runtime != "tensorrt":
        parser.error("--precision fp16 is for --runtime tensorrt")
    if options.check and options.runtime == "tensorrt":
        parser.error("--check is for files of onnxruntime and openvino")
    return options


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    from learning.quantisation import export_model  # here, as it is slow and --help needs none of it

    try:
        made = export_model(
            options.model,
            options.runtime,
            options.precision,
            options.output,
            options.calibrate,
            options.pairs,
            options.check,
            options.overwrite,
        )
    except (OSError, ValueError, RuntimeError) as error:
        print(f"export: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("export: stopped; nothing was written", file=sys.stderr)
        return 130
    print(json.dumps(dataclasses.asdict(made), default=str) if options.json else text(made))
    return 0


def text(made: Any) -> str:
    """What was made, for people."""
    lines = [f"wrote {path} ({path.stat().st_size / 2**20:.2f} MiB)" for path in made.files]
    if made.parity:
        shares = ", ".join(f"{name} {getattr(made.parity, name):.2g}" for name in ("kernels", "response", "features"))
        lines.append(f"largest difference from torch, in shares of the largest value: {shares}")
        lines.append(f"the same peak in {made.parity.same_peak:.1%} of the crops")
    if made.cost:
        lines.append(f"the same peak in {made.cost.same_peak:.2%} of {made.cost.searches} searches on real sequences")
        lines.append(f"AUC there: {made.cost.before:.3f} by torch in fp32, {made.cost.after:.3f} by the files")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
