"""A process that follows a store of sessions, until its standard input ends."""

from __future__ import annotations

import sys

from flask_tenant_auth._core import Revocations
from flask_tenant_auth.sessions.follower import Follower
from flask_tenant_auth.sessions.stores import store_of

name, url = sys.argv[1:]
follower = Follower(store_of(url, ""), Revocations(name), allow=False, delay=1)
follower.start()
sys.stdout.write("started\n")
sys.stdout.flush()
sys.stdin.read()
