"""Builds the C core. Everything else about the package is in pyproject.toml."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

PKG_CONFIG = os.environ.get("PKG_CONFIG", "pkg-config")


class Library(NamedTuple):
    """A library that the core is linked with."""

    name: str  # pkg-config's
    oldest: str
    too_new: str  # the first version with another interface, if there is one
    debian: str
    homebrew: str


LIBRARIES = [
    # libjwt 2 and 3 changed the functions that the core signs with.
    Library("libjwt", oldest="1.10", too_new="2.0", debian="libjwt-dev", homebrew="libjwt"),
    Library("openssl", oldest="3.0", too_new="", debian="libssl-dev", homebrew="openssl@3"),
    Library("hiredis", oldest="0.14", too_new="", debian="libhiredis-dev", homebrew="hiredis"),
]


def pkg_config(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PKG_CONFIG, *arguments], capture_output=True, text=True, check=False)


def has_version(library: Library, version_option: str, version: str) -> bool:
    return pkg_config(f"--{version_option}={version}", library.name).returncode == 0


def check_requirements() -> None:
    """Exit with a message if a tool or library of the build is missing or too new."""
    if shutil.which(PKG_CONFIG) is None:
        sys.exit(
            f"flask_tenant_auth: {PKG_CONFIG} is missing.\n"
            "  Debian, Ubuntu:  apt-get install pkg-config\n"
            "  Homebrew:        brew install pkg-config"
        )
    missing = [
        library
        for library in LIBRARIES
        if not has_version(library, "atleast-version", library.oldest)
    ]
    if missing:
        names = ", ".join(f"{library.name} {library.oldest} or later" for library in missing)
        sys.exit(
            f"flask_tenant_auth: pkg-config does not find {names}.\n"
            f"  Debian, Ubuntu:  apt-get install {' '.join(one.debian for one in missing)}\n"
            f"  Homebrew:        brew install {' '.join(one.homebrew for one in missing)}"
        )
    for library in LIBRARIES:
        if library.too_new and has_version(library, "atleast-version", library.too_new):
            found = pkg_config("--modversion", library.name).stdout.strip()
            sys.exit(
                f"flask_tenant_auth: {library.name} {found} is too new: version {library.too_new} "
                f"changed the interface, and this package needs {library.oldest} or later of the "
                f"series before it.\n"
                f"  Build that series, and let PKG_CONFIG_PATH name the directory of its "
                f"{library.name}.pc."
            )


def core_extension() -> Extension:
    check_requirements()
    names = [library.name for library in LIBRARIES]
    warnings = ["-Wall", "-Wextra", "-Wshadow", "-Wconversion"]
    if os.environ.get("FTA_WERROR") == "1":
        warnings.append("-Werror")
    return Extension(
        "flask_tenant_auth._core",
        sources=sorted(str(path) for path in Path("csrc").rglob("*.c")),
        depends=sorted(
            str(path) for path in Path("csrc").rglob("*") if path.suffix in (".h", ".lua")
        ),
        include_dirs=["csrc"],
        define_macros=[("_GNU_SOURCE", "1")],
        extra_compile_args=[
            *["-std=c11", "-O2", "-fvisibility=hidden", *warnings],
            *pkg_config("--cflags", *names).stdout.split(),
        ],
        extra_link_args=pkg_config("--libs", *names).stdout.split(),
    )


class BuildCore(build_ext):
    """Builds the core with the Lua that runs in Redis, which is embedded now."""

    def build_extension(self, extension: Extension) -> None:
        script = Path(self.build_temp) / "redis_script.c"
        subprocess.run([sys.executable, "scripts/embed_lua.py", str(script)], check=True)
        extension.sources.append(str(script))
        super().build_extension(extension)


setup(ext_modules=[core_extension()], cmdclass={"build_ext": BuildCore})
