"""What the tests of several commands need. A module says by `SCRIPT` which command it is about."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def command(request: pytest.FixtureRequest, load_module: Callable[[Path], ModuleType]) -> ModuleType:
    """The command as a module: tools are no package."""
    return load_module(request.module.SCRIPT)


@pytest.fixture(scope="module")
def run_without(request: pytest.FixtureRequest) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command in a new process, which fails if one of these packages is loaded when it ends."""
    script = request.module.SCRIPT

    def run(arguments: list[str], packages: set[str]) -> subprocess.CompletedProcess[str]:
        program = (
            "import runpy, sys\n"
            f"sys.argv = [{script.name!r}, *{arguments!r}]\n"
            "try:\n"
            f"    runpy.run_path({str(script)!r}, run_name='__main__')\n"
            "except SystemExit as end:\n"
            f"    assert not {packages!r} & sys.modules.keys()\n"
            "    sys.exit(end.code)\n"
        )
        return subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, env=os.environ, check=False
        )

    return run
