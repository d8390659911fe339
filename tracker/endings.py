"""How a command ends: its exit code, and one line instead of a traceback for what its user can mend."""

from __future__ import annotations

import sys
from collections.abc import Callable


def exit_code(command: str, run: Callable[[], object]) -> int:
    """Run a command: 0 done; 2 a file, an argument or a model that cannot be used, in one line; 130 Ctrl-C."""
    try:
        run()
    except KeyboardInterrupt:
        return 130
    except (OSError, ValueError, RuntimeError) as error:
        print(f"{command}: error: {error}", file=sys.stderr)
        return 2
    return 0
