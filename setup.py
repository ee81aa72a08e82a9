"""Builds the C core. Everything else about the package is in pyproject.toml."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

PKG_CONFIG = os.environ.get("PKG_CONFIG", "pkg-config")

# A directory that scripts/wheels/libraries.py made: the libraries in it are linked into the core.
STATIC = os.environ.get("FTA_STATIC", "")
ARCHIVES = ("libjwt.a", "libjansson.a", "libhiredis.a")
# The core of a wheel is 3 % smaller by them, and counts hits as fast.
SMALLER = ["-fno-inline-functions", "-falign-jumps=1", "-falign-labels=1", "-falign-loops=1"]

# Where pkg-config finds libraries, for a system that has no pkg-config yet.
PC_FOLDERS = (
    "/usr/local/lib/pkgconfig:/usr/local/lib/*/pkgconfig:/usr/lib/pkgconfig"
    ":/usr/lib/*/pkgconfig:/usr/lib64/pkgconfig:/usr/share/pkgconfig"
)

# What the package managers say to a user: the columns of the table, in its order.
SYSTEMS = {
    "apt": ("Debian, Ubuntu", "apt-get install"),
    "dnf": ("Fedora, RHEL with EPEL", "dnf install"),
    "apk": ("Alpine", "apk add"),
    "brew": ("Homebrew", "brew install"),
}
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


class Library(NamedTuple):
    """A library that the core is linked with."""

    name: str  # pkg-config's, and the need's in scripts/packages.txt
    oldest: str
    too_new: str = ""  # the first version that the core does not know, if there is one

    @property
    def wanted(self) -> str:
        later = f"or later, before {self.too_new}" if self.too_new else "or later"
        return f"{self.name} {self.oldest} {later}"


LIBRARIES = [
    # csrc/token/libjwt.h says how their interfaces differ.
    Library("libjwt", oldest="1.10", too_new="4"),
    Library("openssl", oldest="3.0"),
    Library("hiredis", oldest="0.14"),
]


def packages_by_need() -> dict[str, list[str]]:
    """Each need of scripts/packages.txt, and its packages in the order of SYSTEMS."""
    rows = Path("scripts/packages.txt").read_text("utf-8").splitlines()
    table = [[cell.strip() for cell in row.split("|")] for row in rows if row[:1] not in ("#", "")]
    return {need: [one.format(python=PYTHON) for one in packages] for need, *packages in table}


def pkg_config(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ)
    if STATIC:
        path = [f"{STATIC}/lib/pkgconfig", *filter(None, [environment.get("PKG_CONFIG_PATH")])]
        environment["PKG_CONFIG_PATH"] = os.pathsep.join(path)
    return subprocess.run(
        [PKG_CONFIG, *arguments], capture_output=True, text=True, check=False, env=environment
    )


def has_version(library: Library, version_option: str, version: str) -> bool:
    return pkg_config(f"--{version_option}={version}", library.name).returncode == 0


def compiler() -> list[str]:
    """The command that setuptools compiles C with."""
    return shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")


def compiles(source: str, *options: str) -> bool:
    """Whether a program can be compiled. It is, because headers may lack what they include."""
    flags = shlex.split(os.environ.get("CFLAGS", "") + " " + os.environ.get("CPPFLAGS", ""))
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "program.c"
        path.write_text(source, "utf-8")
        command = [
            *compiler(),
            *flags,
            *options,
            "-c",
            str(path),
            "-o",
            str(path.with_suffix(".o")),
        ]
        try:
            ran = subprocess.run(command, capture_output=True, check=False)
        except OSError:
            return False
    return ran.returncode == 0


def missing_compiler() -> str:
    """What is wrong with the compiler, or nothing."""
    if compiles('#include <stdio.h>\nint main(void) { return puts("") < 0; }\n'):
        return ""
    name = compiler()[0]
    named = f"{name}, which CC names," if os.environ.get("CC") else name
    if shutil.which(name) is None:
        return f"a C compiler: {named} is not found"
    return f"a C compiler: {named} does not compile a program that includes stdio.h"


def missing_python_header(has_compiler: bool) -> str:
    folders = dict.fromkeys(sysconfig.get_path(name) for name in ("include", "platinclude"))
    if has_compiler:
        found = compiles(
            "#include <Python.h>\nint main(void) { return Py_IsInitialized(); }\n",
            *(f"-I{folder}" for folder in folders),
        )
    else:
        found = any((Path(folder) / "Python.h").is_file() for folder in folders)
    return "" if found else f"Python.h, the headers of Python {PYTHON} ({sys.executable})"


def requirements_not_found(library: Library) -> list[str]:
    """The libraries without which pkg-config does not know this one.

    Debian's package of libjwt 3 names two in its libjwt.pc, and brings neither.
    """
    said = pkg_config("--print-errors", "--exists", library.name).stderr
    # pkgconf says that what we ask for is required by virtual:world.
    return re.findall(r"Package '(\S+)', required by '(?!virtual:)\S+', not found", said)


def pc_file(name: str) -> Path | None:
    """The file that pkg-config would read of a library, where there is no pkg-config."""
    path = [os.environ.get("PKG_CONFIG_PATH", ""), os.environ.get("PKG_CONFIG_LIBDIR", PC_FOLDERS)]
    for folder in filter(None, os.pathsep.join(path).split(os.pathsep)):
        found = sorted(Path("/").glob(f"{folder.lstrip('/')}/{name}.pc"))
        if found:
            return found[0]
    return None


def missing_library_without_pkg_config(library: Library) -> dict[str, str]:
    """The same for a system without pkg-config, which cannot ask for the version.

    A library that is there is not named: Debian's libjwt-dev removes libjwt14-dev.
    """
    path = pc_file(library.name)
    if path is None:
        return {library.name: library.wanted}
    text = re.sub(r"[<>=!]+ *[^\s,]+", " ", path.read_text("utf-8"))
    requires = " ".join(re.findall(r"^Requires:(.*)$", text, re.MULTILINE))
    absent = [name for name in re.split(r"[\s,]+", requires) if name and pc_file(name) is None]
    return {name: f"{name}, which {library.name} requires" for name in absent}


def missing_library(library: Library) -> dict[str, str]:
    if requirements := requirements_not_found(library):
        return {name: f"{name}, which {library.name} requires" for name in requirements}
    if has_version(library, "atleast-version", library.oldest) and not (
        library.too_new and has_version(library, "atleast-version", library.too_new)
    ):
        options = pkg_config("--print-errors", "--cflags", "--libs", library.name)
        said = " ".join(options.stderr.split())
        return {library.name: f"{library.name}: {said}"} if options.returncode else {}
    found = pkg_config("--modversion", library.name)
    there = f"; {found.stdout.strip()} is found" if found.returncode == 0 else ""
    return {library.name: library.wanted + there}


def missing_needs() -> dict[str, str]:
    """The needs that are missing, as the table names them, and what to say of each."""
    said = {"compiler": missing_compiler()}
    said["Python.h"] = missing_python_header(has_compiler=not said["compiler"])
    if shutil.which(PKG_CONFIG) is None:
        said["pkg-config"] = f"pkg-config: {PKG_CONFIG} is not found"
        for library in LIBRARIES:
            said |= missing_library_without_pkg_config(library)
    else:
        for library in LIBRARIES:
            said |= missing_library(library)
    return {need: text for need, text in said.items() if text}


def check_requirements() -> None:
    """Exit with a message if a tool or library of the build is missing, too old or too new."""
    missing = missing_needs()
    if missing:
        packages = packages_by_need()
        lines = [f"  {text}" for text in missing.values()]
        width = max(len(system) for system, _ in SYSTEMS.values()) + 1
        for column, (system, command) in enumerate(SYSTEMS.values()):
            names = " ".join(packages[need][column] for need in missing if need in packages)
            if names:
                lines.append(f"    {system + ':':{width}} {command} {names}")
        sys.exit("flask_tenant_auth cannot be built, this is missing:\n" + "\n".join(lines))


def check_static() -> None:
    """Exit with a message if FTA_STATIC names no directory of archives."""
    absent = [name for name in ARCHIVES if STATIC and not Path(STATIC, "lib", name).is_file()]
    if absent:
        sys.exit(
            f"flask_tenant_auth: FTA_STATIC={STATIC} has no lib/{absent[0]}: "
            f"`python scripts/wheels/libraries.py DIRECTORY` of a checkout makes the directory "
            f"that it names"
        )


def headers_of(*names: str) -> list[str]:
    """The options for the headers of libraries, whose warnings are not ours to mend."""
    flags = pkg_config("--cflags", *names).stdout.split()
    return [re.sub("^-I", "-isystem", flag) for flag in flags]


def libraries_to_link() -> list[str]:
    if not STATIC:
        return pkg_config("--libs", *(library.name for library in LIBRARIES)).stdout.split()
    archives = [str(Path(STATIC, "lib", name)) for name in ARCHIVES]
    # Their functions are not to be seen by another extension that brings the same library. Those
    # that the core does not use are left out.
    options = ["-Wl,--exclude-libs,ALL", "-Wl,--gc-sections"]
    return [*archives, *options, *pkg_config("--libs", "openssl").stdout.split()]


def hardening(step: str) -> list[str]:
    """The options of scripts/hardening.txt for a step, where they are known."""
    if sys.platform != "linux":
        return []
    lines = Path("scripts/hardening.txt").read_text("utf-8").splitlines()
    table = dict(line.split("|") for line in lines if line[:1] not in "#")
    return {name.strip(): options.split() for name, options in table.items()}[step]


def core_extension() -> Extension:
    check_static()
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
            *["-std=c11", "-O2", "-fvisibility=hidden", *hardening("compile"), *warnings],
            *headers_of(*names),
            *(SMALLER if STATIC else []),
        ],
        extra_link_args=[*hardening("link"), *libraries_to_link()],
    )


class BuildCore(build_ext):
    """Builds the core with the Lua that runs in Redis, which is embedded now."""

    def build_extension(self, extension: Extension) -> None:
        script = Path(self.build_temp) / "redis_script.c"
        subprocess.run([sys.executable, "scripts/embed_lua.py", str(script)], check=True)
        extension.sources.append(str(script))
        if STATIC:
            self.compile_binding(extension)
        super().build_extension(extension)

    def compile_binding(self, extension: Extension) -> None:
        """Compile the binding of a wheel for size: it calls the rest, where the loops are."""
        binding = [path for path in extension.sources if path.startswith("csrc/binding/")]
        extension.sources = [path for path in extension.sources if path not in binding]
        extension.extra_objects += self.compiler.compile(
            binding,
            output_dir=self.build_temp,
            macros=extension.define_macros,
            include_dirs=extension.include_dirs,
            extra_postargs=[*extension.extra_compile_args, "-Os"],
        )


class WheelOfCore(bdist_wheel):
    """Makes a wheel that says what is linked into its core: the licences, a bill of materials."""

    def write_wheelfile(self, wheelfile_base: str, *arguments: Any, **options: Any) -> None:
        super().write_wheelfile(wheelfile_base, *arguments, **options)
        if STATIC:
            shutil.copytree(Path(STATIC, "dist-info"), wheelfile_base, dirs_exist_ok=True)
            add_licences(Path(wheelfile_base))


def add_licences(info: Path) -> None:
    """Let the METADATA of a wheel name the licences of the libraries in it (PEP 639)."""
    bill = json.loads((info / "sboms/flask_tenant_auth.cdx.json").read_text("utf-8"))
    inside = {each["license"]["id"] for one in bill["components"] for each in one["licenses"]}
    files = sorted(path for path in (info / "licenses").rglob("*") if path.is_file())
    lines = [f"License-File: {path.relative_to(info / 'licenses').as_posix()}" for path in files]
    metadata = info / "METADATA"
    head, blank, text = metadata.read_text("utf-8").partition("\n\n")
    head = re.sub(r"\nLicense-File: .*", "", head)
    [own] = re.findall(r"\nLicense-Expression: (.*)", head)
    names = " AND ".join([own, *sorted(inside - {own})])
    head = head.replace(f"License-Expression: {own}", f"License-Expression: {names}")
    metadata.write_text("\n".join([head, *lines]) + blank + text, "utf-8")


setup(
    ext_modules=[core_extension()],
    cmdclass={"build_ext": BuildCore, "bdist_wheel": WheelOfCore},
)
