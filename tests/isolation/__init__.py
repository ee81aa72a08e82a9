"""Random statements that prove isolation; `python -m tests.isolation --help` runs many of them."""

import sys
from pathlib import Path

# As a program it needs the path of the shared test helpers.
SUPPORT = str(Path(__file__).parents[1] / "support")
if SUPPORT not in sys.path:
    sys.path.append(SUPPORT)
