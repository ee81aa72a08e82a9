"""API keys in the core: their texts, and the memory that caches what the store says of them."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import zlib
from collections.abc import Iterator

import pytest

from apps import TENANT, USER
from flask_tenant_auth import Identity, _core
from flask_tenant_auth._core import KeyCache, make_api_key, read_api_key

ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
ID = "a" * 16


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    yield
    _core.reset_clock()


@pytest.fixture
def cache() -> KeyCache:
    return KeyCache("test", shared=False)


def put(cache: KeyCache, key_id: str = ID, value: bytes = b"value", ms: int = 60_000) -> None:
    cache.put(key_id, cache.begin(key_id), ms, value)


class TestTexts:
    def test_a_key_is_read_as_it_was_made(self) -> None:
        text, key_id, digest = make_api_key()
        assert re.fullmatch("fta_[a-z2-7]{16}_[a-z2-7]{47}", text)
        assert read_api_key(text) == read_api_key(text.encode()) == (key_id, digest)
        assert text[4:20] == key_id
        assert digest == hashlib.sha256(text[21:61].encode()).digest()

    def test_the_checksum_is_the_crc_32_that_scanners_compute(self) -> None:
        text, _, _ = make_api_key()
        crc = zlib.crc32(text[:61].encode())
        digits = [ALPHABET[crc >> shift & 31] for shift in range(30, -1, -5)]
        assert text[61:] == "".join(digits)

    def test_every_other_text_is_none(self) -> None:
        """Each character changed to each other one: a key has one text."""
        text, _, _ = make_api_key()
        for place in range(len(text)):
            for other in ALPHABET + "A018_- \0\xff":
                if other != text[place]:
                    assert read_api_key(text[:place] + other + text[place + 1 :]) is None
        for wrong in ("", text[:-1], text + "a", f" {text}", f"{text}\n", text.upper()):
            assert read_api_key(wrong) is None

    def test_no_two_are_alike(self) -> None:
        made = [make_api_key() for _ in range(2000)]
        assert len({text[21:61] for text, _, _ in made}) == len({each[1] for each in made}) == 2000
        assert set("".join(text[21:61] for text, _, _ in made)) == set(ALPHABET)


class TestIdentities:
    def test_say_the_id_of_their_key(self) -> None:
        identity = Identity(TENANT, USER, source="api_key", api_key_id=ID)
        assert (identity.api_key_id, identity.source) == (ID, "api_key")
        assert pickle.loads(pickle.dumps(identity)).api_key_id == ID
        assert identity.with_roles(_core.Roles(("user",))).api_key_id == ID
        assert Identity(TENANT, USER).api_key_id is None

    @pytest.mark.parametrize("wrong", ["", "a" * 15, "A" * 16, "a" * 15 + "1", "é" * 8])
    def test_take_no_other_text(self, wrong: str) -> None:
        with pytest.raises(ValueError, match="api_key_id"):
            Identity(TENANT, USER, api_key_id=wrong)


class TestTheCache:
    def test_finds_what_was_put(self, cache: KeyCache) -> None:
        assert cache.find(ID) is None
        put(cache, value=b"one")
        put(cache, value=b"")
        assert cache.find(ID) == b""
        put(cache, value=bytes(range(256)) * 3)
        assert cache.find(ID) == bytes(range(256)) * 3
        assert cache.find("b" * 16) is None

    def test_keeps_no_value_that_is_too_long(self, cache: KeyCache) -> None:
        put(cache, value=b"x" * 968)
        assert cache.find(ID) == b"x" * 968
        cache.drop(ID)
        put(cache, value=b"x" * 969)
        assert cache.find(ID) is None

    @pytest.mark.parametrize(("ms", "seconds"), [(5000, 5), (60_000, 60), (10**15, 60)])
    def test_ends_as_long_after_the_question_as_it_was_told(
        self, cache: KeyCache, ms: int, seconds: float
    ) -> None:
        ticket = cache.begin(ID)
        _core.shift_clock(0.0, 2.0)  # the store took its time
        cache.put(ID, ticket, ms, b"value")
        _core.shift_clock(0.0, seconds - 4.5)
        assert cache.find(ID) == b"value"
        _core.shift_clock(0.0, 2.5)
        assert cache.find(ID) is None

    @pytest.mark.parametrize("ms", [0, -1, -(2**62)])
    def test_keeps_nothing_whose_life_is_over(self, cache: KeyCache, ms: int) -> None:
        put(cache, ms=ms)
        assert cache.find(ID) is None

    @pytest.mark.parametrize("dropped", ["drop", "clear"])
    def test_finds_nothing_that_was_dropped_before_or_after_it_was_put(
        self, cache: KeyCache, dropped: str
    ) -> None:
        def drop() -> None:
            cache.drop(ID) if dropped == "drop" else cache.clear()

        put(cache)
        drop()
        assert cache.find(ID) is None
        ticket = cache.begin(ID)
        drop()
        cache.put(ID, ticket, 60_000, b"stale")
        assert cache.find(ID) is None
        put(cache, value=b"new")
        assert cache.find(ID) == b"new"

    def test_holds_many_and_gives_way_where_it_is_full(self) -> None:
        cache = KeyCache("test", slots=64, shared=False)
        ids = [make_api_key()[1] for _ in range(500)]
        for each in ids:
            put(cache, each, each.encode())
            assert cache.find(each) == each.encode()
        found = [each for each in ids if cache.find(each) is not None]
        assert 16 <= len(found) <= 64
        assert all(cache.find(each) == each.encode() for each in found)

    def test_is_shared_by_processes_of_one_name_and_app(self, tmp_path: str) -> None:
        def other(name: str = "test", app: str = "") -> KeyCache:
            return KeyCache(name, app=app, directory=str(tmp_path))

        cache = other()
        put(cache)
        assert other().find(ID) == b"value"
        assert other("another").find(ID) is None
        assert other(app="another").find(ID) is None
        child = os.fork()
        if child == 0:
            other().drop(ID)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert cache.find(ID) is None

    @pytest.mark.parametrize("wrong", ["", "a" * 15, "a" * 17, "A" * 16, "é" * 8, "a" * 15 + "\0"])
    def test_takes_ids_only(self, cache: KeyCache, wrong: str) -> None:
        for call in (
            lambda: cache.begin(wrong),
            lambda: cache.find(wrong),
            lambda: cache.drop(wrong),
            lambda: cache.put(wrong, (0, 0), 1, b""),
        ):
            with pytest.raises(ValueError, match="key_id"):
                call()

    @pytest.mark.parametrize("slots", [-1, 0, 3, 2**20 + 1])
    def test_a_number_of_slots_that_it_cannot_have_is_named(self, slots: int) -> None:
        with pytest.raises(ValueError, match="slots"):
            KeyCache("test", slots=slots)
