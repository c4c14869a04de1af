"""The command ``chanscope``."""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Runs the command line with the arguments of the process, and returns its exit code."""
    # Mesa's device-select layer complains on stderr where there is no desktop.
    os.environ["NODEVICE_SELECT"] = "1"
    from . import _chanscope

    return _chanscope.command(["chanscope", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
