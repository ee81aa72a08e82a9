"""Random statements that prove isolation; `python -m tests.isolation --help` runs many of them."""

import sys
from pathlib import Path

# As a program, too, it finds what the tests share.
SUPPORT = str(Path(__file__).parents[1] / "support")
if SUPPORT not in sys.path:
    sys.path.append(SUPPORT)
