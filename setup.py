"""Builds the C core. Everything else about the package is in pyproject.toml."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup

# pkg-config module -> oldest version, Debian/Ubuntu package, Homebrew formula.
LIBRARIES = {
    "libjwt": ("1.10", "libjwt-dev", "libjwt"),
    "openssl": ("3.0", "libssl-dev", "openssl@3"),
    "hiredis": ("0.14", "libhiredis-dev", "hiredis"),
}


def pkg_config(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [os.environ.get("PKG_CONFIG", "pkg-config"), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def library_flags() -> tuple[list[str], list[str]]:
    """The compiler's and the linker's flags; exits with what to install where one is missing."""
    if shutil.which(os.environ.get("PKG_CONFIG", "pkg-config")) is None:
        sys.exit(
            "flask_tenant_auth: pkg-config is missing.\n"
            "  Debian, Ubuntu:  apt-get install pkg-config\n"
            "  Homebrew:        brew install pkg-config"
        )
    missing = {
        name: wanted
        for name, wanted in LIBRARIES.items()
        if pkg_config(f"--atleast-version={wanted[0]}", name).returncode != 0
    }
    if missing:
        names = ", ".join(f"{name} {wanted[0]} or later" for name, wanted in missing.items())
        sys.exit(
            f"flask_tenant_auth: pkg-config does not find {names}.\n"
            f"  Debian, Ubuntu:  apt-get install {' '.join(w[1] for w in missing.values())}\n"
            f"  Homebrew:        brew install {' '.join(w[2] for w in missing.values())}"
        )
    compile_flags = pkg_config("--cflags", *LIBRARIES).stdout.split()
    link_flags = pkg_config("--libs", *LIBRARIES).stdout.split()
    return compile_flags, link_flags


def core_extension() -> Extension:
    compile_flags, link_flags = library_flags()
    warnings = ["-Wall", "-Wextra", "-Wshadow", "-Wconversion"]
    if os.environ.get("FTA_WERROR") == "1":
        warnings.append("-Werror")
    return Extension(
        "flask_tenant_auth._core",
        sources=sorted(str(path) for path in Path("csrc").glob("*/*.c")),
        depends=sorted(str(path) for path in Path("csrc").glob("*/*.h")),
        define_macros=[("_GNU_SOURCE", "1")],
        extra_compile_args=["-std=c11", "-O2", "-fvisibility=hidden", *warnings, *compile_flags],
        extra_link_args=link_flags,
    )


setup(ext_modules=[core_extension()])
