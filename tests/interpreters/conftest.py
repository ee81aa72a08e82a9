"""These tests need Apache's mod_wsgi and uWSGI, which have the system's own Python.

`make test-interpreters` runs them in Debian's roots.
"""

from __future__ import annotations

import os

# An environment for pytest has the Python of the two servers in these roots only.
collect_ignore_glob = [] if os.environ.get("FTA_INTERPRETERS") else ["test_*.py"]
