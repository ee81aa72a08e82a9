#!/bin/sh
# Writes Ubuntu's keys into a file, unless it exists.
#
#   scripts/get_ubuntu_keyring.sh FILE
#
# Debian 12 has no package of these keys. They are read from Ubuntu, unsigned, and believed because
# they are those that we know: of 2012 and of 2018 (790B C727 ... C0B2 1F32, F6EC B376 ... 991B C93C).
# FTA_UBUNTU_MIRROR names another mirror.
set -eu

keyring=$1
sha256=80a36b0a6de2f69f49d2df75ef473ccde121e9e190b9ea01d20a4f63778d5c31
[ ! -f "$keyring" ] || exit 0

got=$(mktemp -d "$(cd "$(dirname "$keyring")" && pwd)/keyring-XXXXXX")
trap 'rm -rf "$got"' EXIT
trap 'exit 1' INT TERM HUP
mkdir -p "$got/lists/partial" "$got/archives/partial"
echo "deb [trusted=yes] ${FTA_UBUNTU_MIRROR:-http://archive.ubuntu.com/ubuntu} noble main" \
    >"$got/sources.list"
: >"$got/status"
for command in update 'download ubuntu-keyring'; do
    # shellcheck disable=SC2086  # words, on purpose
    if ! (cd "$got" && apt-get -qq -o Dir::Etc::sourcelist="$got/sources.list" \
        -o Dir::Etc::sourceparts=- -o Dir::State::lists="$got/lists" \
        -o Dir::State::status="$got/status" -o Dir::Cache="$got" \
        -o APT::Sandbox::User="$(id -un)" $command >"$got/log" 2>&1); then
        cat "$got/log" >&2
        echo "get_ubuntu_keyring.sh: could not read the keys of Ubuntu" >&2
        exit 1
    fi
done
dpkg-deb -x "$got"/ubuntu-keyring_*.deb "$got/package"
found=$got/package/usr/share/keyrings/ubuntu-archive-keyring.gpg
if [ "$(sha256sum <"$found")" != "$sha256  -" ]; then
    echo "get_ubuntu_keyring.sh: these are not the keys of Ubuntu that we know" >&2
    exit 1
fi
mv "$found" "$keyring"
