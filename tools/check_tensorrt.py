"""Build, compare and time TensorRT engines on a machine with an NVIDIA GPU, in one call.

examples:
  python tools/check_tensorrt.py
  python tools/check_tensorrt.py compact ciresnet22 --json

Engines are kept, so that a second call starts in seconds. What is expected: tensorrt-fp32 off by less than 0.001 and
tensorrt-fp16 by less than 0.01, the same peak in (almost) all crops, both faster than torch. int8 needs files that
`tools/export.py MODEL --runtime tensorrt --precision int8 --calibrate DIR` makes. Exit code 1: an engine did not run,
or is farther off.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import sys

RUNTIMES = ("torch-fp32", "tensorrt-fp32", "tensorrt-fp16", "tensorrt-int8")
NEEDED = {"tensorrt-fp32": 1e-3, "tensorrt-fp16": 1e-2}  # and how far off they may be


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("models", nargs="*", default=["compact", "ciresnet22"], metavar="MODEL", help="names or .safetensors files")
    add("--device", default="cuda", help="cuda or cuda:1 (default: %(default)s)")
    add("--json", action="store_true", help="print one JSON object instead of tables")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    from tracker.network import find_weights, load_network  # here, as it is slow and --help needs none of it
    from tracker.runtimes.survey import survey, table

    try:
        found = {
            model: survey(
                load_network(model), RUNTIMES, options.device, weights=find_weights(model), batches=(1, 3, 16, 32)
            )
            for model in options.models
        }
    except ValueError as error:
        print(f"check_tensorrt: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps({model: [dataclasses.asdict(row) for row in rows] for model, rows in found.items()}))
    else:
        print("\n\n".join(f"{model}\n{table(rows)}" for model, rows in found.items()))
    rows = [row for rows in found.values() for row in rows if row.runtime in NEEDED]
    return int(any(row.parity is None or not row.parity.response <= NEEDED[row.runtime] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
