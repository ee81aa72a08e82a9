"""What scripts/wheels/check.py finds wrong with a wheel, each thing in a wheel that has it."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from paths import ROOT

sys.path.insert(0, str(ROOT / "scripts/wheels"))
import check
from libraries import component, libraries, rows

sys.path.pop(0)

HARDENING = dict(rows(ROOT / "scripts/hardening.txt"))
TAG = f"cp312-cp312-manylinux_2_34_{platform.machine()}"
CORE = f"flask_tenant_auth/_core.cpython-312-{platform.machine()}-linux-gnu.so"
INFO = "flask_tenant_auth-1.0.dist-info"

METADATA = """Metadata-Version: 2.4
License-Expression: MIT AND BSD-3-Clause AND MPL-2.0
License-File: LICENSE
License-File: hiredis/COPYING
License-File: jansson/LICENSE
License-File: libjwt/LICENSE

License-File: this is the description
"""

SOURCE = r"""
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#define SHOWN __attribute__((visibility("default")))

SHOWN int PyInit__core(const char *text)
{
    char copy[64];
    strcpy(copy, text); /* checked with _FORTIFY_SOURCE, and beside a canary */
    return puts(copy) + (EVP_sha256() != NULL);
}
"""


@dataclass
class Parts:
    """Of a wheel; as they stand here, it is fit to be published."""

    tag: str = TAG
    said: str = TAG
    core: str = CORE
    source: str = SOURCE
    compile: str = HARDENING["compile"]
    link: str = f"{HARDENING['link']} -s"
    metadata: str = METADATA
    files: dict[str, bytes] = field(default_factory=dict)
    without: str = ""
    unlisted: str = ""

    def built(self, directory: Path) -> bytes:
        """The machine code."""
        (directory / "core.c").write_text(self.source)
        options = ["-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-w"]
        command = ["gcc", *options, *self.compile.split(), "core.c", "-o", "core.so", "-lcrypto"]
        subprocess.run([*command, *self.link.split()], cwd=directory, check=True)
        return (directory / "core.so").read_bytes()

    def wheel(self, directory: Path) -> Path:
        bill = {"components": [component(one) for one in libraries()]}
        files = {
            self.core: self.built(directory),
            f"{INFO}/WHEEL": f"Wheel-Version: 1.0\nTag: {self.said}\n".encode(),
            f"{INFO}/METADATA": self.metadata.encode(),
            f"{INFO}/licenses/LICENSE": b"MIT",
            f"{INFO}/sboms/flask_tenant_auth.cdx.json": json.dumps(bill).encode(),
        }
        for one in libraries():
            files[f"{INFO}/licenses/{one.name}/{one.licence_file}"] = b"as is"
        files = {name: data for name, data in (files | self.files).items() if name != self.without}
        listed = (
            f"{name},{check.digest(data)}," for name, data in files.items() if name != self.unlisted
        )
        files[f"{INFO}/RECORD"] = "\n".join([*listed, f"{INFO}/RECORD,,"]).encode()
        path = directory / f"flask_tenant_auth-1.0-{self.tag}.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return path


def test_a_wheel_without_fault_is_fit_to_be_published(tmp_path: Path) -> None:
    assert check.problems(Parts().wheel(tmp_path)) == []


FAULTS = {
    "large": (Parts(files={"data": b"0" * 700_000}), "more than 700,000"),
    "another system in the name": (Parts(tag="cp312-cp312-linux_x86_64"), "its name is not"),
    "another system in WHEEL": (Parts(said="cp312-cp312-linux_x86_64"), "its WHEEL says"),
    "the core of another Python": (
        Parts(core=CORE.replace("312", "313")),
        "instead of one flask_tenant_auth/_core.cpython-312-",
    ),
    "the core of a Python without the GIL": (
        Parts(core=CORE.replace("312", "312t")),
        "instead of one flask_tenant_auth/_core.cpython-312-",
    ),
    "a second library": (Parts(files={"libjwt.so.0": b""}), "instead of one"),
    "an entry of RECORD": (Parts(unlisted=CORE), f"RECORD does not list {CORE}"),
    "another symbol": (
        Parts(source=f"{SOURCE} SHOWN int jwt_new(void) {{ return 1; }}"),
        "exports ['PyInit__core', 'jwt_new']",
    ),
    "another library": (Parts(link=f"{Parts().link} -Wl,--no-as-needed -lm"), "needs libm.so.6"),
    "an executable stack": (Parts(link=f"{Parts().link} -Wl,-z,execstack"), "stack may be exec"),
    "no full RELRO": (Parts(link=f"{Parts().link} -Wl,-z,lazy"), "no full RELRO"),
    "no RELRO": (Parts(link=f"{Parts().link} -Wl,-z,norelro"), "no full RELRO"),
    "no stack protector": (
        Parts(compile=f"{HARDENING['compile']} -fno-stack-protector"),
        "no stack protector",
    ),
    "no _FORTIFY_SOURCE": (
        Parts(compile=f"{HARDENING['compile']} -U_FORTIFY_SOURCE"),
        "without _FORTIFY_SOURCE",
    ),
    "debug information": (Parts(link=HARDENING["link"]), "is not stripped"),
    "a directory for libraries": (
        Parts(link=f"{Parts().link} -Wl,-rpath,/opt/lib"),
        "a directory for libraries",
    ),
    "a directory of the builder": (
        Parts(source=f'{SOURCE} SHOWN const char *PyInit__place = "{ROOT}/csrc";'),
        f"names {ROOT}",
    ),
    "a licence": (
        Parts(without=f"{INFO}/licenses/libjwt/LICENSE"),
        "no licenses/libjwt/LICENSE",
    ),
    "the licence of a library in METADATA": (
        Parts(metadata=METADATA.replace(" AND MPL-2.0", "")),
        "its METADATA has the licence ['MIT AND BSD-3-Clause']",
    ),
    "a licence file in METADATA": (
        Parts(metadata=METADATA.replace("License-File: libjwt/LICENSE\n", "")),
        "its METADATA names the licence files ['LICENSE', 'hiredis/COPYING', 'jansson/LICENSE']",
    ),
    "the bill of materials": (
        Parts(without=f"{INFO}/sboms/flask_tenant_auth.cdx.json"),
        "its bill of materials lists []",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_of_a_wheel_is_found(fault: str, tmp_path: Path) -> None:
    parts, said = FAULTS[fault]
    assert said in "\n".join(check.problems(parts.wheel(tmp_path)))


@pytest.mark.parametrize(
    ("needed", "said"),
    [
        ("quotactl_fd@GLIBC_2.35", "needs glibc 2.35"),
        ("EVP_new@OPENSSL_3.2.0", "needs OpenSSL 3.2.0"),
    ],
)
def test_a_function_that_the_oldest_system_lacks_is_found(needed: str, said: str) -> None:
    row = f"   9: 0000000000000000     0 FUNC    GLOBAL DEFAULT  UND {needed} (2)"
    assert said in "\n".join(
        check.needs(check.Wheel("", 0, {}, {"--dynamic": "", "--dyn-syms": row}))
    )
