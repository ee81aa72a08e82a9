#!/bin/sh
# Links the packages that apt has downloaded from one directory to another, or copies them where the
# two are not on one file system. What the other one has already stays.
#
#   scripts/keep_packages.sh SOURCE TARGET
set -eu

for file in "$1"/*.deb; do
    target=$2/${file##*/}
    if [ -f "$file" ] && [ ! -e "$target" ]; then
        # Two that link the same file at once: one of them has done it.
        ln "$file" "$target" 2>/dev/null || cp -n "$file" "$target"
    fi
done
