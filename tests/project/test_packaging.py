"""What is published: the source distribution builds, and the build says what it lacks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import setuptools

from paths import ROOT


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, made from a copy so that nothing is left behind here."""
    tree = tmp_path_factory.mktemp("tree")
    made = shutil.ignore_patterns("*.so", "__pycache__")
    for name in ("csrc", "flask_tenant_auth", "scripts"):
        shutil.copytree(ROOT / name, tree / name, ignore=made)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, tree)
    dist = tmp_path_factory.mktemp("dist")
    build = f"from setuptools.build_meta import build_sdist; build_sdist({str(dist)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=tree, check=True, capture_output=True)
    (path,) = dist.glob("*.tar.gz")
    return path


def test_the_sdist_has_every_file_of_the_build(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    sources = {
        str(path.relative_to(ROOT))
        for path in ROOT.glob("csrc/**/*.*")
        if path.suffix in (".c", ".h", ".lua")
    }
    assert sources
    assert sources <= names
    assert {
        "setup.py",
        "scripts/embed_lua.py",
        "scripts/packages.txt",
        "scripts/hardening.txt",
        "pyproject.toml",
        "LICENSE",
        "README.md",
        "csrc/README.md",
    } <= names


def test_the_sdist_builds_a_wheel_that_works_on_its_own(sdist: Path, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", tmp_path, sdist],
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "site")
    python = {str(path.relative_to(ROOT)) for path in ROOT.glob("flask_tenant_auth/**/*.py*")}
    assert {"flask_tenant_auth/__init__.py", "flask_tenant_auth/_core.pyi"} <= python
    assert {name for name in python if "__pycache__" not in name} <= set(names)
    assert "flask_tenant_auth/py.typed" in names
    # Redis runs them for sessions and concurrency limits; the script for limits is in the core.
    python_lua = {name for name in names if name.endswith(".lua")}
    assert python_lua == {
        "flask_tenant_auth/limit/lua/leases.lua",
        "flask_tenant_auth/sessions/lua/sessions.lua",
    }
    templates = {name for name in names if "/templates/" in name}
    of_tree = (ROOT / "flask_tenant_auth/console/templates").iterdir()
    assert templates == {str(path.relative_to(ROOT)) for path in of_tree}
    assert not [name for name in names if name.endswith((".c", ".h")) or "test" in name.split("/")]
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        "import flask_tenant_auth, flask_tenant_auth._core as core\n"
        "assert flask_tenant_auth.is_valid_uuid('550e8400-e29b-41d4-a716-446655440000')\n"
        "print(flask_tenant_auth.__file__, core.__file__)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert all(path.startswith(str(tmp_path / "site")) for path in ran.stdout.split())


def setup_says(**environment: str) -> str:
    """Run setup.py in another environment; it must refuse, and this is how."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("CC", "CFLAGS")}
    ran = subprocess.run(
        [sys._base_executable, "setup.py", "--version"],  # type: ignore[attr-defined]
        cwd=ROOT,
        # setuptools is found where these tests find it.
        env={**inherited, "PYTHONPATH": str(Path(setuptools.__path__[0]).parent), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1, ran
    return ran.stderr


def a_pkg_config(tmp_path: Path, script: str) -> str:
    path = tmp_path / "pkg-config"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def packages_named(said: str, command: str) -> list[str]:
    [line] = re.findall(rf"^    [\w, ]+: +{command} (.*)$", said, re.MULTILINE)
    return str(line).split()


PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def path_without_compiler(tmp_path: Path) -> str:
    """A PATH with pkg-config alone."""
    found = shutil.which("pkg-config")
    assert found is not None
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "pkg-config").symlink_to(found)
    return str(tmp_path / "bin")


@pytest.fixture
def home_without_headers(tmp_path: Path) -> str:
    """A PYTHONHOME that has this Python's library and no headers."""
    home = tmp_path / "home"
    home.mkdir()
    for name in {"lib", sys.platlibdir}:
        (home / name).symlink_to(Path(sys.base_prefix) / name)
    return str(home)


def test_setup_names_a_compiler_that_is_missing(path_without_compiler: str) -> None:
    said = setup_says(PATH=path_without_compiler)
    missing, *_ = said.partition("\n    Debian")
    assert re.fullmatch(
        "flask_tenant_auth cannot be built, this is missing:\n"
        r"  a C compiler: \S+ is not found",
        missing,
    )
    assert packages_named(said, "apt-get install") == ["gcc", "libc6-dev"]
    assert packages_named(said, "dnf install") == ["gcc", "glibc-devel"]
    assert packages_named(said, "apk add") == ["gcc", "musl-dev"]
    assert packages_named(said, "brew install") == ["gcc"]


def test_setup_says_that_CC_names_a_compiler_that_is_missing() -> None:  # noqa: N802
    assert "a C compiler: no-such-cc, which CC names, is not found\n" in setup_says(CC="no-such-cc")


def test_setup_finds_out_that_the_compiler_has_no_headers_of_the_c_library(tmp_path: Path) -> None:
    said = setup_says(CC="cc -nostdinc")
    assert "a C compiler: cc, which CC names, does not compile a program that includes" in said
    assert "Python.h, the headers of Python" not in said, "only the compiler is to blame"


def test_setup_names_the_headers_of_python_that_are_missing(home_without_headers: str) -> None:
    said = setup_says(PYTHONHOME=home_without_headers)
    assert f"\n  Python.h, the headers of Python {PYTHON} (" in said
    assert packages_named(said, "apt-get install") == [f"python{PYTHON}-dev"]
    assert packages_named(said, "dnf install") == [f"python{PYTHON}-devel"]
    assert packages_named(said, "apk add") == ["python3-dev"]
    assert packages_named(said, "brew install") == [f"python@{PYTHON}"]


def test_a_header_of_python_that_includes_what_is_missing_is_no_header(
    home_without_headers: str,
) -> None:
    """A file that exists is not enough: the check compiles a program."""
    include = Path(home_without_headers) / "include" / f"python{PYTHON}"
    include.mkdir(parents=True)
    (include / "Python.h").write_text("#include <no_such_header.h>\n")
    assert "\n  Python.h, the headers" in setup_says(PYTHONHOME=home_without_headers)


def test_setup_names_the_packages_of_every_missing_library(tmp_path: Path) -> None:
    said = setup_says(PKG_CONFIG_LIBDIR=str(tmp_path), PKG_CONFIG_PATH="")
    assert said == (
        "flask_tenant_auth cannot be built, this is missing:\n"
        "  libjwt 1.10 or later, before 4\n"
        "  openssl 3.0 or later\n"
        "  hiredis 0.14 or later\n"
        "    Debian, Ubuntu:         apt-get install libjwt-dev libssl-dev libhiredis-dev\n"
        "    Fedora, RHEL with EPEL: dnf install libjwt-devel openssl-devel hiredis-devel\n"
        "    Alpine:                 apk add libjwt-dev openssl-dev hiredis-dev\n"
        "    Homebrew:               brew install libjwt openssl@3 hiredis\n"
    )


def test_setup_names_the_version_of_a_library_that_is_too_old(tmp_path: Path) -> None:
    (tmp_path / "hiredis.pc").write_text("Name: hiredis\nDescription: old\nVersion: 0.13\n")
    said = setup_says(PKG_CONFIG_LIBDIR=str(tmp_path), PKG_CONFIG_PATH="")
    assert "  hiredis 0.14 or later; 0.13 is found\n" in said


def test_setup_names_all_that_is_missing_at_once(tmp_path: Path, home_without_headers: str) -> None:
    (tmp_path / "empty").mkdir()
    empty = str(tmp_path / "empty")
    said = setup_says(PATH=empty, PYTHONHOME=home_without_headers, PKG_CONFIG_LIBDIR=empty)
    starts = [line.split(":")[0].split(",")[0].strip() for line in said.splitlines()[1:7]]
    assert starts == [
        *("a C compiler", "Python.h", "pkg-config"),
        *("libjwt 1.10 or later", "openssl 3.0 or later", "hiredis 0.14 or later"),
    ]
    assert packages_named(said, "apt-get install") == [
        *("gcc", "libc6-dev", f"python{PYTHON}-dev", "pkg-config"),
        *("libjwt-dev", "libssl-dev", "libhiredis-dev"),
    ]


def test_setup_and_make_know_the_same_needs_and_each_has_packages_everywhere() -> None:
    rows = (ROOT / "scripts/packages.txt").read_text("utf-8").splitlines()
    table = [re.split(r" *\| *", row) for row in rows if row and row[0] != "#"]
    for row in table:
        assert len(row) == 5, row
        assert all(row), row
    script = (ROOT / "scripts/install_packages.sh").read_text("utf-8")
    needs = re.findall(r"^(?:\[.*\|\| )?needs (\S+) ", script, re.MULTILINE)
    assert set(needs) == {row[0] for row in table}


def make_says(tmp_path: Path, **environment: str) -> list[str]:
    """Run the script of make where there is no apt and no pkg-config; the lines of its refusal."""
    for name in ("sh", "awk", "dirname", "grep"):
        found = shutil.which(name)
        assert found is not None
        (tmp_path / name).symlink_to(found)
    ran = subprocess.run(
        ["sh", ROOT / "scripts/install_packages.sh", "run"],
        env={"PATH": str(tmp_path), "PYTHON": sys.executable, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    return ran.stderr.splitlines()


def test_make_names_what_is_missing_where_there_is_no_apt(tmp_path: Path) -> None:
    lines = make_says(tmp_path, PKG_CONFIG_LIBDIR=str(tmp_path))
    assert lines[0].endswith(
        "(their names in Debian and Ubuntu): "
        "gcc libc6-dev make pkg-config libjwt-dev libssl-dev libhiredis-dev curl"
    )
    assert lines[2:] == [
        "  dnf install gcc glibc-devel make pkgconf-pkg-config libjwt-devel openssl-devel "
        "hiredis-devel curl",
        "  apk add gcc musl-dev make pkgconf libjwt-dev openssl-dev hiredis-dev curl",
        "  brew install gcc make pkgconf libjwt openssl@3 hiredis curl",
    ]


def test_the_line_of_the_quickstart_has_every_package_of_the_build(tmp_path: Path) -> None:
    text = (ROOT / "docs/quickstart.md").read_text("utf-8")
    [line] = re.findall(r"^\$ apt-get install (.*)$", text, re.MULTILINE)
    said = setup_says(PATH=str(tmp_path), CC="no-such-cc", PKG_CONFIG_LIBDIR=str(tmp_path))
    needed = packages_named(said, "apt-get install")
    # libc6-dev comes with python3-dev, which `make test-roots` shows.
    assert {*needed, "python3-dev", "python3-venv"} - {"libc6-dev"} == set(line.split())


def a_pc_file(folder: Path, name: str, version: str, requires: str = "") -> None:
    text = f"Name: {name}\nDescription: a library\nVersion: {version}\nRequires: {requires}\n"
    (folder / f"{name}.pc").write_text(text)


def test_setup_names_the_package_of_a_libjwt_that_is_too_new(tmp_path: Path) -> None:
    a_pc_file(tmp_path, "openssl", "3.0")
    a_pc_file(tmp_path, "hiredis", "1.0")
    a_pc_file(tmp_path, "libjwt", "4.0.1")
    said = setup_says(PKG_CONFIG_LIBDIR=str(tmp_path), PKG_CONFIG_PATH="")
    missing, *_ = said.partition("\n    Debian")
    assert missing == (
        "flask_tenant_auth cannot be built, this is missing:\n"
        "  libjwt 1.10 or later, before 4; 4.0.1 is found"
    )
    assert packages_named(said, "apt-get install") == ["libjwt-dev"]


@pytest.mark.parametrize("version", ["1.10.2", "1.17.2", "2.1.3", "3.3.3", "3.99"])
def test_setup_knows_every_libjwt_from_1_10_to_3(tmp_path: Path, version: str) -> None:
    """Only hiredis, which is missing here, is named."""
    a_pc_file(tmp_path, "openssl", "3.0")
    a_pc_file(tmp_path, "libjwt", version)
    said = setup_says(PKG_CONFIG_LIBDIR=str(tmp_path), PKG_CONFIG_PATH="")
    assert packages_named(said, "apt-get install") == ["libhiredis-dev"]


def test_setup_names_what_the_libjwt_of_debian_requires_and_does_not_bring(tmp_path: Path) -> None:
    a_pc_file(tmp_path, "openssl", "3.0")
    a_pc_file(tmp_path, "hiredis", "1.0")
    a_pc_file(tmp_path, "libjwt", "3.3.3", requires="jansson openssl gnutls")
    said = setup_says(PKG_CONFIG_LIBDIR=str(tmp_path), PKG_CONFIG_PATH="")
    missing, *_ = said.partition("\n    Debian")
    assert missing == (
        "flask_tenant_auth cannot be built, this is missing:\n"
        "  jansson, which libjwt requires\n"
        "  gnutls, which libjwt requires"
    )
    assert packages_named(said, "apt-get install") == ["libjansson-dev", "libgnutls28-dev"]


def test_setup_names_the_archive_that_the_directory_of_a_static_build_lacks(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/libjwt.a").touch()
    assert setup_says(FTA_STATIC=str(tmp_path)) == (
        f"flask_tenant_auth: FTA_STATIC={tmp_path} has no lib/libjansson.a: "
        "`python scripts/wheels/libraries.py DIRECTORY` of a checkout makes the directory that it "
        "names\n"
    )


def test_setup_names_the_package_of_pkg_config(tmp_path: Path) -> None:
    absent = tmp_path / "pkg-config"
    said = setup_says(PKG_CONFIG=str(absent))
    assert f"  pkg-config: {absent} is not found\n" in said
    assert packages_named(said, "apt-get install")[0] == "pkg-config"


@pytest.mark.parametrize(
    ("requires", "named"),
    [
        ("openssl", []),
        ("jansson >= 2.0 openssl gnutls", ["libjansson-dev", "libgnutls28-dev"]),
        ("jansson, openssl >=3,gnutls", ["libjansson-dev", "libgnutls28-dev"]),
    ],
)
def test_a_libjwt_that_is_there_is_kept_where_pkg_config_is_missing(
    tmp_path: Path, requires: str, named: list[str]
) -> None:
    """Debian's libjwt-dev would remove its libjwt14-dev, which is libjwt 3."""
    folder = tmp_path / "x86_64-linux-gnu" / "pkgconfig"
    folder.mkdir(parents=True)
    a_pc_file(folder, "libjwt", "3.3.3", requires=requires)
    a_pc_file(folder, "openssl", "3.0")
    environment = {"PKG_CONFIG_PATH": "", "PKG_CONFIG_LIBDIR": f"{tmp_path}/*/pkgconfig"}
    said = setup_says(PKG_CONFIG=str(tmp_path / "pkg-config"), **environment)
    assert packages_named(said, "apt-get install") == ["pkg-config", *named, "libhiredis-dev"]
    lines = make_says(tmp_path, **environment)
    libraries = lines[0].partition(" pkg-config ")[2].partition(" curl")[0].split()
    assert libraries == [*named, "libhiredis-dev"]


def test_setup_says_what_pkg_config_says_of_a_library_that_cannot_be_linked(
    tmp_path: Path,
) -> None:
    for name, version in (("openssl", "3.0"), ("hiredis", "1.0"), ("jansson", "2.5")):
        a_pc_file(tmp_path, name, version)
    a_pc_file(tmp_path, "libjwt", "3.3.3", requires="jansson >= 2.10")
    missing = setup_says(PKG_CONFIG_LIBDIR=str(tmp_path), PKG_CONFIG_PATH="").splitlines()[1]
    assert missing.startswith("  libjwt: ")
    assert "jansson" in missing
    assert "2.10" in missing


def test_setup_writes_no_line_that_would_install_nothing(tmp_path: Path) -> None:
    for name, version in (("openssl", "3.0"), ("hiredis", "1.0")):
        a_pc_file(tmp_path, name, version)
    a_pc_file(tmp_path, "libjwt", "3.3.3", requires="something-else")
    said = setup_says(PKG_CONFIG_LIBDIR=str(tmp_path), PKG_CONFIG_PATH="")
    assert said.splitlines()[1:] == ["  something-else, which libjwt requires"]
