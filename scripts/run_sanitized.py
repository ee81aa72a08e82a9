"""Runs Python tests against a build of the extension with AddressSanitizer and UBSan.

    run_sanitized.py BUILD LIBASAN PYTEST_ARGUMENT...

BUILD holds flask_tenant_auth/_core*.so and fta_faults*.so; the Python files of the package are
copied beside the former, and the whole stands before the installed package on the path.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
# Not the root: its package is the one without sanitizers.
HELPERS = (ROOT / "tests/support",)


def copy_package(build: Path) -> None:
    """Put the Python files of this tree beside the extension, and nothing older."""
    for old in build.rglob("*.py*"):
        if old.is_file():
            old.unlink()
    shutil.copytree(
        ROOT / "flask_tenant_auth",
        build / "flask_tenant_auth",
        ignore=shutil.ignore_patterns("*.so", "__pycache__"),
        dirs_exist_ok=True,
    )


def main() -> int:
    """Run pytest, and show what the sanitizers reported."""
    build, libasan = Path(sys.argv[1]).resolve(), sys.argv[2]
    if not Path(libasan).is_file():
        sys.exit(f"{libasan}: the AddressSanitizer of the C compiler is missing (Debian: libasan)")
    copy_package(build)
    for old in build.glob("report.*"):
        old.unlink()
    environment = os.environ | {
        "LD_PRELOAD": str(Path(libasan).resolve()),
        # What Python never frees at its end is no leak of ours: tests/support/leaks.py looks
        # for those.
        "ASAN_OPTIONS": f"detect_leaks=0:allocator_may_return_null=1:log_path={build}/report",
        "UBSAN_OPTIONS": f"print_stacktrace=1:halt_on_error=1:log_path={build}/report",
        # Each object in a block of its own, or what is freed stays readable.
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(build),
        "PYTHONDONTWRITEBYTECODE": "1",
        "FTA_SANITIZED": str(build),
    }
    path = " ".join(str(folder) for folder in (build, *HELPERS))
    options = ["-p", "no:faulthandler", "-p", "no:cacheprovider", "-o", f"pythonpath={path}"]
    command = [sys.executable, "-m", "pytest", *options, *sys.argv[3:]]
    code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    for report in build.glob("report.*"):
        print(report.read_text(errors="replace"))
        code = code or 1
    return code if code >= 0 else 1


if __name__ == "__main__":
    sys.exit(main())
