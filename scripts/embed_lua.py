"""Write the script that counts in Redis as a C file: embed_lua.py OUTPUT.

The script is csrc/limit/redis/lua/script.lua. The other files of that folder are one strategy
each. They stand in the script where it says ``--@ strategies``, each in a branch of its own. The
name of a strategy is that of its file, with hyphens.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

LUA = Path(__file__).resolve().parent.parent / "csrc" / "limit" / "redis" / "lua"
FRAME = "script.lua"
PLACE = "--@ strategies"

HEAD = """\
/* Made by scripts/embed_lua.py from csrc/limit/redis/lua/. */
#include "limit/redis/script.h"

const char fta_redis_script[] =
"""
TAIL = "const size_t fta_redis_script_length = sizeof fta_redis_script - 1;\n"


def lines_of(path: Path) -> list[str]:
    """Return the lines of a file that Redis has to know: no comments, no empty lines."""
    lines = path.read_text("utf-8").splitlines()
    return [
        line
        for line in lines
        if line == PLACE or (line.strip() and not line.lstrip().startswith("--"))
    ]


def strategies() -> Iterator[str]:
    """Return the branches of all strategies."""
    word = "if"
    for path in sorted(LUA.glob("*.lua")):
        if path.name != FRAME:
            name = path.stem.replace("_", "-")
            yield f"{word} strategy == '{name}' then"
            yield from (f"  {line}" for line in lines_of(path))
            word = "elseif"
    yield "else"
    yield "  return redis.error_reply('ERR ' .. strategy .. ' is no strategy')"
    yield "end"


def script() -> Iterator[str]:
    """Return the lines of the whole script."""
    for line in lines_of(LUA / FRAME):
        if line == PLACE:
            yield from strategies()
        else:
            yield line


def literal(line: str) -> str:
    """Return a line as a C string literal."""
    escaped = line.replace("\\", "\\\\").replace('"', '\\"')
    return f'    "{escaped}\\n"'


def main() -> None:
    """Write the file that the command line names."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    output = Path(sys.argv[1])
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(HEAD + "\n".join(map(literal, script())) + ";\n" + TAIL, "utf-8")


if __name__ == "__main__":
    main()
