"""The program that instructions.py runs under callgrind: REQUESTS requests of each app.

It prints REQUESTS. "burdened" is our app with more work in every request. The guard must fail for
it, which shows that the guard works.
"""

from __future__ import annotations

import ctypes
import gc
import sys

from flask_tenant_auth import create_jwt_token

from . import apps

REQUESTS = 200
WARM_UP = 20


def burdened() -> apps.Flask:
    app = apps.ours()

    @app.before_request
    def burden() -> None:
        sum(range(400))

    return app


def main(library: str) -> None:
    switch = ctypes.CDLL(library)
    with apps.ours().app_context():
        token = create_jwt_token(apps.TENANT, apps.USER)
    headers = {**apps.HEADERS, "Authorization": f"Bearer {token}"}
    for make in (apps.bare, apps.ours, burdened):
        call = apps.wsgi_call(make(), headers)
        for _ in range(WARM_UP):
            call()
        gc.collect()
        switch.start_counting()
        for _ in range(REQUESTS):
            call()
        switch.stop_counting(make.__name__.encode())
    print(REQUESTS)


if __name__ == "__main__":
    main(sys.argv[1])
