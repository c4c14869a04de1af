"""``python -m chanscope`` is the command ``chanscope``."""

import sys

from ._command import main

sys.exit(main())
