"""What gevent's workers get: a wait for Redis stops the hub, for one timeout and not for more."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

from paths import SUPPORT
from servers import Redis

# A hundred greenlets ask the app while another notes how long the hub was away from it.
PROGRAM = """
from gevent import monkey; monkey.patch_all()
import json, os, signal, sys, time
import gevent
from apps import bearer, make_app
from flask_tenant_auth import verify_tenant_context

app = make_app(REDIS_URL=sys.argv[1], RATELIMIT_DEFAULT="100000 per hour",
    RATELIMIT_STORE_TIMEOUT_MS=1000)
app.get("/")(verify_tenant_context(lambda: "in"))
redis, gaps, asking = int(sys.argv[2]), [], True

def watch():
    last = time.monotonic()
    while asking:
        gevent.sleep(0.001)
        now = time.monotonic()
        gaps.append(now - last)
        last = now

def ask(times):
    client, statuses = app.test_client(), []
    for _ in range(times):
        statuses.append(client.get("/", headers=bearer()).status_code)
        gevent.sleep(0)
    return statuses

def all_ask():
    greenlets = [gevent.spawn(ask, 5) for _ in range(100)]
    gevent.joinall(greenlets, raise_error=True)
    return sum((each.value for each in greenlets), [])

ask(2)
watcher = gevent.spawn(watch)
store = app.extensions["tenant_auth"].limiter
calm = all_ask(), store.status()["breaker"]
os.kill(redis, signal.SIGSTOP)
gaps.clear()
try:
    frozen = all_ask(), store.status()["breaker"]
finally:
    os.kill(redis, signal.SIGCONT)
asking = False
watcher.join()
print(json.dumps({"calm": calm, "frozen": frozen, "gaps": sorted(gaps)[-20:]}))
"""


def test_a_frozen_redis_blocks_the_hub_once_and_no_request_fails() -> None:
    with Redis() as redis:
        assert redis.process is not None
        shown = subprocess.run(
            [sys.executable, "-c", PROGRAM, redis.url, str(redis.process.pid)],
            cwd=SUPPORT,
            check=True,
            capture_output=True,
            text=True,
            timeout=300,
        )
        redis.process.send_signal(signal.SIGCONT)
    told = json.loads(shown.stdout)
    assert told["calm"] == [[200] * 500, "closed"]
    assert told["frozen"] == [[200] * 500, "open"]
    # Before the breaker opens, a hub waits one time limit, a second here; a busy machine may add to
    # it, but never a second wait for each request, which would be 500 seconds.
    assert sum(gap for gap in told["gaps"] if gap > 0.9) < 60
