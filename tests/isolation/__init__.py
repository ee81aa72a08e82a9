"""Random statements that prove isolation; `python -m tests.isolation --help` runs many of them."""

import sys
from pathlib import Path

# As a program, too, it finds what the tests share.
if str(Path(__file__).parents[1]) not in sys.path:
    sys.path.append(str(Path(__file__).parents[1]))
