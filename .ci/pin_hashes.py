"""Write `.ci/requirements.txt`: what continuous integration installs, each file with its SHA-256.

    python .ci/pin_hashes.py

pip is asked what it would install of `constraints.txt`, and where from; nothing is installed. Run it after
`constraints.txt` was changed, with the Python and on the platform of the integration (the file names both).

torch and what only it needs are left out: its builds for CPUs and for GPUs have one version, different files and
different requirements, and `make setup` takes whichever the machine's pip finds.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = "train,tune,onnx,openvino,benchmarks,ray,robot,rerun,dev"  # as in the Makefile
LEFT_OUT = {"siamtrack", "torch", "triton"}


def main() -> int:
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    command += ["-c", str(ROOT / "constraints.txt"), f"{ROOT}[{EXTRAS}]"]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)["install"]
    lines = [
        f"# {sys.implementation.name} {platform.python_version_tuple()[0]}.{platform.python_version_tuple()[1]}, "
        f"{platform.system()} {platform.machine()}: written by .ci/pin_hashes.py"
    ]
    for entry in sorted(found, key=lambda entry: entry["metadata"]["name"].lower()):
        name, version = entry["metadata"]["name"], entry["metadata"]["version"]
        if name.lower() in LEFT_OUT or name.lower().startswith(("nvidia-", "cuda-")):
            continue
        digest = entry["download_info"]["archive_info"]["hashes"]["sha256"]
        lines.append(f"{name}=={version} --hash=sha256:{digest}")
    (ROOT / ".ci" / "requirements.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"pinned {len(lines) - 1} files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
