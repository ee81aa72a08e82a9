"""These tests need libraries that the others do not: `make test-beside` installs and runs them."""

from __future__ import annotations

from importlib.util import find_spec

# The environment of all other tests has none of them.
collect_ignore_glob = [] if find_spec("flask_login") else ["test_*.py"]
