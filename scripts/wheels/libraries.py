"""Builds the libraries of libraries.txt as archives, to be linked into the core of a wheel.

    libraries.py DIRECTORY

DIRECTORY must not exist. `FTA_STATIC=DIRECTORY pip wheel .` builds a wheel with these libraries
inside. It gets

    include, lib    the headers, the archives, and the files of pkg-config
    dist-info       what a wheel has to say of them: the licences, and a bill of materials

The sources come from Debian through apt, which checks Debian's signature; libraries.txt has the
SHA-256 of each archive. They are kept in build/wheels/sources. A machine without apt can be given
that directory.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SOURCES = ROOT / "build/wheels/sources"

# The release of Debian whose sources these are.
SUITE = "forky"
DEBIAN = "http://deb.debian.org/debian"
MIRROR = os.environ.get("FTA_DEBIAN_MIRROR", DEBIAN)
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

# What each library builds beyond its archive, if it is not told otherwise.
CMAKE_OPTIONS = {
    "jansson": (
        *("-DJANSSON_BUILD_DOCS=OFF", "-DJANSSON_EXAMPLES=OFF", "-DJANSSON_WITHOUT_TESTS=ON"),
        "-DUSE_DTOA=OFF",  # the core writes the numbers of a token itself
    ),
    "libjwt": ("-DWITH_GNUTLS=OFF", "-DWITH_TESTS=OFF"),
    "hiredis": ("-DDISABLE_TESTS=ON",),
}


class Library(NamedTuple):
    """A row of libraries.txt."""

    name: str
    version: str
    licence: str
    licence_file: str
    archive: str
    repository: str
    sha256: str

    @property
    def source(self) -> str:
        """The name of Debian's source package."""
        return self.archive.partition("_")[0]


def rows(path: Path) -> list[list[str]]:
    """Read the cells of a table of this repository."""
    lines = path.read_text("utf-8").splitlines()
    return [[cell.strip() for cell in line.split("|")] for line in lines if line[:1] not in "#"]


def libraries() -> list[Library]:
    """Read the table, in the order in which the libraries need each other."""
    return [Library(*cells) for cells in rows(HERE / "libraries.txt")]


def run(*command: object, **options: Any) -> None:
    """Run a command, and show what it printed if it fails."""
    ran = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **options,
    )
    if ran.returncode != 0:
        sys.exit(f"{ran.stdout}\nthis failed: {' '.join(map(str, command))}")


# --- The sources ----------------------------------------------------------------------------------


def download(names: list[str], directory: Path) -> None:
    """Let apt download the sources into a directory. This machine's apt is not changed."""
    if shutil.which("apt-get") is None or not Path(KEYRING).is_file():
        sys.exit(
            f"libraries.py: the sources come through apt, with the keys of Debian ({KEYRING}); "
            f"put the archives of libraries.txt into {SOURCES} instead"
        )
    with tempfile.TemporaryDirectory() as made:
        apt = Path(made)
        for folder in ("lists/partial", "archives/partial"):
            (apt / folder).mkdir(parents=True)
        (apt / "status").touch()
        (apt / "sources.list").write_text(f"deb-src [signed-by={KEYRING}] {MIRROR} {SUITE} main\n")
        (apt / "apt.conf").write_text(
            f'Dir::Etc::sourcelist "{apt}/sources.list"; Dir::Etc::sourceparts "-";\n'
            f'Dir::State::lists "{apt}/lists"; Dir::State::status "{apt}/status";\n'
            f'Dir::Cache "{apt}"; APT::Sandbox::User "";\n'
        )
        environment = os.environ | {"APT_CONFIG": str(apt / "apt.conf")}
        run("apt-get", "-qq", "update", env=environment)
        source = ("apt-get", "-qq", "--download-only", "--tar-only", "source")
        run(*source, *names, cwd=directory, env=environment)


def checked_archive(library: Library) -> Path:
    """Return the archive, which has the SHA-256 of the table."""
    path = SOURCES / library.archive
    if not path.is_file():
        sys.exit(
            f"libraries.py: Debian {SUITE} has no {library.archive} (any more); libraries.txt has "
            f"to name the archive that there is"
        )
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != library.sha256:
        sys.exit(
            f"libraries.py: {path} is not the archive of libraries.txt: its SHA-256 is {found}"
        )
    return path


def unpack(archive: Path, directory: Path) -> Path:
    """Return the directory of the sources."""
    with tarfile.open(archive) as tar:
        if hasattr(tarfile, "data_filter"):
            tar.extractall(directory, filter="data")
        else:
            tar.extractall(directory)
    [source] = directory.iterdir()
    return source


# --- The archives ---------------------------------------------------------------------------------


def flags(source: Path, prefix: Path) -> str:
    """Return the options of the compiler."""
    hardening = dict(rows(ROOT / "scripts/hardening.txt"))["compile"]
    # For size, and so that the linker can leave out what the core does not use. The core reads
    # tokens itself: these libraries only sign them and speak with Redis.
    size = "-Os -ffunction-sections -fdata-sections"
    # __FILE__ is the same on every machine.
    return f"{size} -fvisibility=hidden {hardening} -I{prefix}/include -ffile-prefix-map={source}=."


def build(library: Library, source: Path, prefix: Path) -> None:
    """Build and install a library and its licence below the prefix."""
    environment = os.environ | {
        "CFLAGS": flags(source, prefix),
        "PKG_CONFIG_PATH": f"{prefix}/lib/pkgconfig",
    }
    made = source / "made"
    run(
        *("cmake", "-S", source, "-B", made, "-DCMAKE_BUILD_TYPE=None"),
        *("-DBUILD_SHARED_LIBS=OFF", "-DCMAKE_POSITION_INDEPENDENT_CODE=ON"),
        *(f"-DCMAKE_INSTALL_PREFIX={prefix}", "-DCMAKE_INSTALL_LIBDIR=lib"),
        # They are older than the newest CMake, which asks for this.
        *("-DCMAKE_POLICY_VERSION_MINIMUM=3.5", *CMAKE_OPTIONS[library.name]),
        env=environment,
    )
    run("cmake", "--build", made, "--target", "install", "--parallel", env=environment)
    licences = prefix / "dist-info/licenses" / library.name
    licences.mkdir(parents=True)
    shutil.copy(source / library.licence_file, licences)


# --- The bill of materials ------------------------------------------------------------------------


def component(library: Library) -> dict[str, Any]:
    """Describe a library as a component of CycloneDX."""
    url = f"pkg:github/{library.repository}@v{library.version}"
    return {
        "type": "library",
        "bom-ref": url,
        "name": library.name,
        "version": library.version,
        "purl": url,
        "licenses": [{"license": {"id": library.licence}}],
        "externalReferences": [
            {
                "type": "source-distribution",
                "url": f"{DEBIAN}/pool/main/{pool_folder(library.source)}/{library.archive}",
                "hashes": [{"alg": "SHA-256", "content": library.sha256}],
            },
            {"type": "vcs", "url": f"https://github.com/{library.repository}"},
        ],
    }


def pool_folder(name: str) -> str:
    """Where Debian's archive has a package."""
    return f"{name[:4] if name.startswith('lib') else name[0]}/{name}"


def write_bill_of_materials(path: Path) -> None:
    """Write what is inside of the core, as PEP 770 wants it."""
    path.parent.mkdir(parents=True)
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {"type": "library", "bom-ref": "core", "name": "flask_tenant_auth._core"}
        },
        "components": [component(library) for library in libraries()],
        "dependencies": [
            {"ref": "core", "dependsOn": [component(one)["bom-ref"] for one in libraries()]}
        ],
    }
    path.write_text(json.dumps(bill, indent=2) + "\n", "utf-8")


def main() -> None:
    """Download, check, build, and describe."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    prefix = Path(sys.argv[1]).resolve()
    if prefix.exists():
        sys.exit(f"libraries.py: {prefix} exists")
    SOURCES.mkdir(parents=True, exist_ok=True)
    absent = [one.source for one in libraries() if not (SOURCES / one.archive).is_file()]
    if absent:
        print(f"Downloading the sources of {', '.join(absent)}")
        download(absent, SOURCES)
    for library in libraries():
        archive = checked_archive(library)
        print(f"Building {library.name} {library.version}")
        with tempfile.TemporaryDirectory() as directory:
            build(library, unpack(archive, Path(directory)), prefix)
    write_bill_of_materials(prefix / "dist-info/sboms/flask_tenant_auth.cdx.json")


if __name__ == "__main__":
    main()
