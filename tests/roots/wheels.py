"""The wheels in bare Debian and Ubuntu roots with python3 and pip; `make test-wheels` runs this.

dist has the wheels: `make wheels` has made them. Nothing else is installed: no compiler, no header,
none of the libraries. FTA_SUITES="bookworm trixie" chooses suites, FTA_CACHE keeps downloads.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bare_roots import SUITES, Root, commands_of, directory_of, made_root
from pages import blocks_of
from paths import ROOT
from tls_servers import tls_servers

README = ROOT / "README.md"
SECONDS = 5


@pytest.fixture(scope="module", params=SUITES)
def root(request: pytest.FixtureRequest) -> Iterator[Root]:
    """A root in which pip has installed the wheel, from a directory; its result is in /timed."""
    suite = str(request.param)
    root = made_root(suite, directory_of(f"{suite}-wheel"), "root", "python3", "python3-pip")
    wheels = root.directory / "wheels"
    wheels.mkdir()
    for wheel in (ROOT / "dist").glob("*.whl"):
        (wheels / wheel.name).write_bytes(wheel.read_bytes())
    root.succeeds("! command -v cc && ! command -v gcc && ! ls /usr/include/openssl")
    # In this system's own environment, which Debian would rather leave to apt (PEP 668).
    for command in ("install", "uninstall"):
        root.succeeds(f"printf '[{command}]\\nbreak-system-packages = true\\n' >> /etc/pip.conf")
    root.succeeds("echo '127.0.0.1 localhost' > /etc/hosts")
    root.succeeds("pip3 install 'Flask>=3.0' 'urllib3>=2.2'")
    timed = "time pip3 install --no-index -f /wheels flask_tenant_auth"
    again = "pip3 uninstall -q -y flask_tenant_auth"
    root.succeeds(
        f"TIMEFORMAT='timed %R %U %S'; {{ {timed}; }} 2>/timed\n"
        f"for _ in 1 2 3 4; do {again}; {{ {timed}; }} 2>>/timed; done"
    )
    # Not the package of the checkout, which has no core.
    root.succeeds("rm -r /checkout/flask_tenant_auth")
    yield root
    root.remove()


def test_pip_installs_the_wheel_in_seconds(root: Root) -> None:
    """Without Flask, which was there before. The time of the processor: others may use it too."""
    lines = re.findall(r"^timed (\S+) (\S+) (\S+)$", root.succeeds("cat /timed"), re.MULTILINE)
    assert len(lines) == 5
    elapsed = statistics.median(float(real) for real, _, _ in lines)
    used = statistics.median(float(user) + float(system) for _, user, system in lines)
    measured = f"{elapsed:.2f} s, of the processor {used:.2f} s"
    sys.stderr.write(f"\n{root.suite}: {measured} (medians of 5; load {os.getloadavg()[0]})\n")
    assert used < SECONDS
    assert "dist-packages/flask_tenant_auth/_core" in root.succeeds(
        "python3 -c 'import flask_tenant_auth._core as core; print(core.__file__)'"
    )


def test_the_app_of_the_readme_answers(root: Root) -> None:
    app = next(block for block in blocks_of(README) if block.text.startswith("# app.py\n"))
    root.succeeds(f"mkdir /app && cat > /app/app.py <<'END'\n{app.text}\nEND")
    shown = commands_of(README, "The smallest app")
    # The last one, `flask auth check`, ends with 1: it has found the development key.
    printed = root.succeeds("\n".join(["cd /app; export REDIS_URL=; set +e", *shown, "true"]))
    assert re.search(r"^eyJ[\w.-]+$", printed, re.MULTILINE)
    assert "/api/accounts  [authenticated]  50 per minute per user" in printed


def test_the_core_has_the_licences_of_what_is_inside(root: Root) -> None:
    script = "from importlib.metadata import files; print(*files('flask_tenant_auth'))"
    named = root.succeeds(f'python3 -c "{script}"')
    for name in (
        "licenses/libjwt/LICENSE",
        "licenses/hiredis/COPYING",
        "sboms/flask_tenant_auth.cdx.json",
    ):
        assert name in named


def test_tls_works_beside_ssl_and_cryptography_and_psycopg(root: Root) -> None:
    root.succeeds("pip3 install 'cryptography>=42' 'psycopg[binary]>=3.1'")
    with tls_servers() as servers:
        authority = Path(servers[2])
        inside = Path("/authority.pem")
        (root.directory / inside.name).write_bytes(authority.read_bytes())
        arguments = [one.replace(str(authority), str(inside)) for one in servers]
        for order in ("flask_tenant_auth,psycopg,ssl", "ssl,psycopg,flask_tenant_auth"):
            program = "/checkout/tests/support/openssl_beside.py"
            command = root.command("python3", program, order, *arguments)
            ran = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
            assert ran.returncode == 0, ran.stdout + ran.stderr
            found = [name for name in ran.stdout.split() if "/libcrypto" in name]
            assert len(found) == 2, found


def test_the_tests_of_the_core_that_need_no_server_pass(root: Root) -> None:
    # Ubuntu's own pip cannot be replaced.
    root.succeeds("pip3 install --ignore-installed 'pip>=25.1'")
    root.succeeds("pip3 install --group /checkout/pyproject.toml:test")
    # The threads' tests start Redis.
    chosen = "tests/unit/test_core_*.py tests/unit/test_token_rules.py"
    left_out = "--ignore=tests/unit/test_core_threads.py"
    said = root.succeeds(f"python3 -m pytest -q -p no:cacheprovider {chosen} {left_out}")
    assert re.search(r"^\d{3,} passed", said, re.MULTILINE), said[-2000:]


def test_the_import_says_what_to_install_where_there_is_no_openssl_3(root: Root) -> None:
    core = "find / -xdev -path '*/flask_tenant_auth/_core*.so'"
    # A name of the same length: it is what the dynamic linker looks for.
    root.succeeds(f"cp $({core}) /core && sed -i 's/libcrypto.so.3/libcrypto.so.9/' $({core})")
    said = root.run("cd / && python3 -c 'import flask_tenant_auth'")
    root.succeeds(f"cp /core $({core})")
    assert said.returncode == 1
    assert "ImportError: flask_tenant_auth needs OpenSSL 3" in said.stdout
