"""Where the keys of a provider come from: given once, a file, a URL, or a discovery document.

A source holds the keys that verify now. Requests drive it, no timer does: once the time `due` has
come, whoever uses the keys calls `refresh` first. Fetches run in a thread, so no request waits for
one while there are keys.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, NamedTuple

from .._core import Key
from ..audit import logger
from ..config.key_sources import read_jwks_text
from ..config.provider_urls import discovery_url, is_url, shown_url, split_url
from ..errors import ConfigurationError
from .jwks import SetRules, UnusableSetError, parse_json, read_set, shown_kid

# A URL is asked at most once in so many seconds, whatever tokens say and however it answers.
FETCH_INTERVAL = 10.0
# The part of the age of a set after which it is fetched again.
REFRESH_AT = 0.8
FILE_INTERVAL = 1.0

Load = Callable[[], tuple[bytes, Mapping[str, Any]]]


class Age(NamedTuple):
    """How old a fetched set may be, in seconds."""

    refresh: float  # then it is fetched again
    stale: float  # then its keys verify no longer


class Source:
    """A source of keys, and the base of the others: keys that are given once.

    :param name: the setting, for messages.
    :param where: where the set is, for people.
    """

    # When `refresh` has to be called, by `monotonic`.
    due = math.inf
    # Whether its keys may change.
    changes = False

    def __init__(self, name: str, where: str, rules: SetRules) -> None:
        self.name = name
        self.where = where
        self.failure: str | None = None  # the last one, unless a later attempt succeeded
        # The keys that verify now; None: there were none so far, or they are stale.
        self.keys: tuple[Key, ...] | None = None
        # Called after each change of `keys`, in any thread, one call at a time.
        self.changed: Callable[[], None] = _nothing
        # Called after each fetch of them, in any thread: whether it has brought keys.
        self.fetched: Callable[[bool], object] = bool
        # When this process first had each key, by `monotonic`. Replaced as a whole.
        self._had_since: dict[tuple[str, str], float] = {}
        self._rules = rules
        self._told: tuple[str, ...] = ()
        self.next_report = -math.inf  # when an unknown kid may be logged again

    def give(self, jwks: Mapping[str, Any]) -> None:
        """Take the keys of a set.

        :raises ConfigurationError: it names the setting.
        """
        try:
            found = read_set(jwks, self._rules)
        except UnusableSetError as error:
            self._tell(error.passed_over)
            raise ConfigurationError(f"{self.name} {error}") from None
        self.keys = found.keys
        self._note(found.keys)
        self.changed()
        self._tell(found.passed_over)

    def seconds_with(self, key: Key) -> float:
        """Return for how long this process has had a key."""
        now = monotonic()
        return now - self._had_since.get((key.algorithm, key.kid), now)

    def _note(self, keys: tuple[Key, ...]) -> None:
        """Note when this process had each key first."""
        now, before = monotonic(), self._had_since
        ids = [(key.algorithm, key.kid) for key in keys]
        self._had_since = {each: before.get(each, now) for each in ids}

    @property
    def age(self) -> float | None:
        """How many seconds ago the keys were fetched; None for keys that have no age."""
        return None

    def start(self) -> None:
        """Begin to look for keys, at init.

        :raises ConfigurationError: when there is a file without usable keys.
        """

    def refresh(self) -> None:
        """Do what is due. It waits for nobody else."""

    def wait(self) -> None:
        """Wait for a fetch that runs, at most until its deadline."""

    def retry_after(self) -> int:
        """Return in how many whole seconds keys are looked for again."""
        return 1

    def look_for(self, kid: str | None, issuer: str | None) -> None:
        """Look for a key that a token names and that is not there.

        To be called when `wants_report` is true.
        """
        self.next_report = monotonic() + FETCH_INTERVAL
        logger.warning(
            "%s %s has no key with the kid %s; the token says the issuer %s",
            self.name, self.where, shown_kid(kid), shown_kid(issuer),
        )  # fmt: skip

    def wants_report(self) -> bool:
        """Whether the source is to hear of an unknown kid. Most of many tokens find it false."""
        return monotonic() >= self.next_report

    def _tell(self, passed_over: tuple[str, ...]) -> None:
        """Log entries that are passed over, unless that was logged already."""
        if passed_over != self._told:
            self._told = passed_over
            for sentence in passed_over:
                logger.warning("%s %s", self.name, sentence)

    def _log_change(self, old: tuple[Key, ...] | None, new: tuple[Key, ...]) -> None:
        """Log the kids that have come and gone."""
        before, now = _kids(old or ()), _kids(new)
        if old is not None and before != now:
            logger.info(
                "%s %s rotated: new keys %s, removed keys %s",
                self.name, self.where, _shown(now - before), _shown(before - now),
            )  # fmt: skip


def _kids(keys: tuple[Key, ...]) -> set[str]:
    return {key.kid for key in keys}


def _shown(kids: set[str]) -> str:
    return ", ".join(shown_kid(kid) for kid in sorted(kids)) or "(none)"


def _nothing() -> None:
    pass


class FileSource(Source):
    """The keys of a file, which is read again when it changes.

    It is looked at most once a second. While it is broken, the keys of before stay.
    """

    changes = True

    def __init__(self, name: str, path: str, rules: SetRules) -> None:
        super().__init__(name, path, rules)
        self._lock = threading.Lock()
        _sources.add(self)

    def start(self) -> None:
        """Read the file for the first time.

        :raises ConfigurationError: when it holds no keys.
        """
        self._read_at = _stamp(self.where)
        try:
            text = read_jwks_text(self.where)
        except (OSError, ValueError) as error:
            raise _unreadable(self.name, error) from None
        self.give(_given(self.name, text))
        self.due = monotonic() + FILE_INTERVAL

    def refresh(self) -> None:
        """Read the file again if it is another one or has changed."""
        if not self._lock.acquire(blocking=False):
            return  # another thread reads it
        try:
            if monotonic() >= self.due:
                self.due = monotonic() + FILE_INTERVAL
                self._read_again()
        finally:
            self._lock.release()

    def _read_again(self) -> None:
        stamp = _stamp(self.where)
        if stamp == self._read_at:
            return
        self._read_at = stamp
        try:
            found = read_set(_load_text(read_jwks_text(self.where)), self._rules)
        except (OSError, ValueError) as error:
            said = isinstance(error, UnusableSetError)
            reason = f"it {error}" if said else type(error).__name__
            self.failure = f"the file cannot be used: {reason}"
            logger.error("%s %s changed and is broken, its old keys stay: %s",
                         self.name, self.where, reason)  # fmt: skip
            return
        self.failure = None
        old, self.keys = self.keys, found.keys
        self._note(found.keys)
        self.changed()
        logger.info("%s %s changed and was read again", self.name, self.where)
        self._tell(found.passed_over)
        self._log_change(old, found.keys)

    def after_fork(self) -> None:
        """Forget a thread of the parent process that was reading the file."""
        if self._lock.locked():
            self._lock = threading.Lock()
            self._read_at = None


def _stamp(path: str) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - a path may hold any octets
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def _given(name: str, text: bytes) -> Mapping[str, Any]:
    """Return what the JSON text of a setting says.

    :raises ConfigurationError: it names the setting.
    """
    try:
        return _load_text(text)
    except ValueError as error:
        raise _unreadable(name, error) from None


def _unreadable(name: str, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"{name} must be a dict, JSON text, an https URL or the path of a JSON file: "
        f"{type(error).__name__}"
    )


def _load_text(text: bytes) -> Mapping[str, Any]:
    loaded = parse_json(text)
    return loaded if isinstance(loaded, Mapping) else {}


class _Fetch:
    """One run of a fetch."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.done = threading.Event()


class FetchedSource(Source):
    """The keys of a URL, or of the one that an issuer's configuration names.

    They are fetched in a thread, one fetch at a time, at most one in FETCH_INTERVAL: before the set
    is too old, and at once for a kid that is not known. While the provider does not answer, the
    keys of before stay, until they are stale.
    """

    changes = True

    def __init__(self, name: str, url: str, rules: SetRules, age: Age, *, issuer: bool) -> None:
        from ..http_client import EXCHANGE_SECONDS  # an app without a URL has no use for it

        where = shown_url(discovery_url(url) if issuer else url)
        super().__init__(name, where, rules._replace(public=True))
        self._load: Load = _discovered(url) if issuer else _fetched(url)
        self._age = age
        self._seconds = EXCHANGE_SECONDS
        self._lock = threading.Lock()
        # The lock guards all that follows, and the writing of `keys` and `due`.
        self._running: _Fetch | None = None
        self._next_fetch = -math.inf
        self._fetched_at = -math.inf
        self._body = b""
        _sources.add(self)

    @property
    def age(self) -> float | None:
        """How many seconds ago the keys were fetched."""
        return None if math.isinf(self._fetched_at) else monotonic() - self._fetched_at

    def start(self) -> None:
        """Begin the first fetch."""
        self.refresh()

    def refresh(self) -> None:
        """Begin a fetch if one is due; drop keys that are stale."""
        dropped = False
        with self._lock:
            now = monotonic()
            if self.keys is not None and now >= self._fetched_at + self._age.stale:
                self.keys, self._body, dropped = None, b"", True
                self.changed()
            if self.keys is None or now >= self._fetched_at + self._age.refresh * REFRESH_AT:
                self._begin(now)
            self._plan()
        if dropped:
            logger.error(
                "%s %s was not fetched for %d seconds (JWT_JWKS_STALE_SECONDS): its keys verify no "
                "longer, and tokens are answered with 503. Last failure: %s",
                self.name, self.where, self._age.stale, self.failure,
            )  # fmt: skip

    def wait(self) -> None:
        """Wait for a fetch that runs, at most until its deadline."""
        running = self._running
        if running is not None:
            running.done.wait(max(0.0, running.deadline - monotonic()))

    def retry_after(self) -> int:
        """Return in how many whole seconds the next fetch may begin."""
        return max(1, math.ceil(self._next_fetch - monotonic()))

    def wants_report(self) -> bool:
        """Whether a fetch may begin for an unknown kid."""
        return monotonic() >= self._next_fetch

    def look_for(self, kid: str | None, issuer: str | None) -> None:
        """Fetch the set at once, for a kid that it may have by now."""
        with self._lock:
            begun = self._begin(monotonic())
            self._plan()
        if begun:
            super().look_for(kid, issuer)

    def _begin(self, now: float) -> bool:
        """Start a fetch, unless one runs or the last one is too near. The lock is held."""
        if self._running is not None or now < self._next_fetch:
            return False
        self._next_fetch = now + FETCH_INTERVAL
        self._running = running = _Fetch(now + self._seconds)
        thread = threading.Thread(
            target=self._run, args=(running,), name="flask_tenant_auth keys", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # no more threads, or the interpreter ends
            self._running = None
            running.done.set()
            return False
        return True

    def _plan(self) -> None:
        """Set when `refresh` has to be called next. The lock is held."""
        if self.keys is None:
            self.due = self._next_fetch if self._running is None else math.inf
            return
        stale_at = self._fetched_at + self._age.stale
        if self._running is not None:
            self.due = stale_at
        else:
            next_fetch = max(self._fetched_at + self._age.refresh * REFRESH_AT, self._next_fetch)
            self.due = min(stale_at, next_fetch)

    def _run(self, running: _Fetch) -> None:
        """Fetch the set, in a thread of its own."""
        from ..http_client import ExchangeError

        body, failure, found = b"", "", None
        try:
            body, jwks = self._load()
            found = read_set(jwks, self._rules)
        except ExchangeError as error:
            failure = str(error)
        except UnusableSetError as error:
            failure = f"{self.where} {error}"
        except Exception as error:  # noqa: BLE001 - the keys of before stay, and the log says why
            failure = f"{self.where} could not be read: {type(error).__name__}"
        with self._lock:
            if self._running is not running:
                return  # a fork came between
            old, old_failure = self.keys, self.failure
            self._running = None
            self.failure = failure or None
            if found is not None:
                self._fetched_at = monotonic()
                if old is None or body != self._body:
                    self.keys, self._body = found.keys, body
                    self._note(found.keys)
                    self.changed()
            self._plan()
        self.fetched(found is not None)
        running.done.set()
        if found is None:
            if failure != old_failure:
                logger.warning("%s: the keys were not fetched: %s", self.name, failure)
            return
        if old is None or old_failure is not None:
            logger.info("%s %s was fetched: keys %s",
                        self.name, self.where, _shown(_kids(found.keys)))  # fmt: skip
        self._tell(found.passed_over)
        self._log_change(old, found.keys)

    def after_fork(self) -> None:
        """Forget what a thread of the parent process was doing: it does not run here."""
        self._lock = threading.Lock()
        if self._running is not None:  # nobody here waits for it
            self._running = None
            self._next_fetch = -math.inf
        self._plan()
        self.changed()  # the thread may have been about to say so


def _fetched(url: str) -> Load:
    from .fetch import fetch_json

    return lambda: fetch_json(url)


def _discovered(issuer: str) -> Load:
    """Return what fetches the set of an issuer (OpenID Connect Discovery 1.0, section 4)."""
    from ..http_client import ExchangeError, deadline_from_now
    from .fetch import fetch_json

    url = discovery_url(issuer)

    def load() -> tuple[bytes, Mapping[str, Any]]:
        deadline = deadline_from_now()  # for both together
        _, document = fetch_json(url, deadline)
        said, jwks_uri = document.get("issuer"), document.get("jwks_uri")
        if said != issuer:
            shown = shown_kid(said) if isinstance(said, str) else "none"
            raise ExchangeError(
                f"{shown_url(url)} is of another issuer: it says {shown}, which must be exactly "
                f"{issuer!r} (OpenID Connect Discovery 1.0, section 4.3)"
            )
        try:
            split_url(jwks_uri if isinstance(jwks_uri, str) else "")
        except ValueError as error:
            raise ExchangeError(f"{shown_url(url)} has a jwks_uri that {error}") from None
        return fetch_json(str(jwks_uri), deadline)

    return load


def source_of(
    name: str, jwks: Mapping[str, Any] | str | None, issuer: str | None, rules: SetRules, age: Age
) -> Source:
    """Return the source of a setting. `start` has to follow.

    :param jwks: a set, its JSON text, the path of its file or its URL; None: discovery.
    :param issuer: whose configuration names the set, where there is no `jwks`.
    :raises ConfigurationError: for a set or a file without usable keys.
    """
    source: Source
    if jwks is None:
        source = FetchedSource(name, issuer or "", rules, age, issuer=True)
    elif not isinstance(jwks, str):
        source = Source(name, "(given)", rules)
        source.give(jwks)
    elif is_url(jwks):
        source = FetchedSource(name, jwks, rules, age, issuer=False)
    elif jwks.startswith("{"):
        source = Source(name, "(given)", rules)
        source.give(_given(name, jwks.encode("utf-8", "surrogatepass")))
    else:
        source = FileSource(name, jwks, rules)
    return source


_sources: weakref.WeakSet[FileSource | FetchedSource] = weakref.WeakSet()


def _after_fork() -> None:
    for source in list(_sources):
        source.after_fork()


os.register_at_fork(after_in_child=_after_fork)
