"""Random steps on a store and on the model, compared after each."""

from __future__ import annotations

import copy
import itertools
import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from flask_tenant_auth._core import make_refresh_token, now, read_refresh_token
from flask_tenant_auth.sessions.sessions import Grant, SessionDenied, Sessions, Terms
from flask_tenant_auth.sessions.store import Revocation, SessionStore

from .model import Life, Model

SECOND, DAY = 1000, 86_400_000
IDLE, MOST, GRACE, MOST_SESSIONS = DAY, 3 * DAY, 30 * SECOND, 4
KEY, RETIRED = b"k" * 32, b"r" * 32
TENANTS = [f"{n}1111111-1111-4111-8111-111111111111" for n in "12"]
USERS = [f"{n}2222222-2222-4222-8222-222222222222" for n in "123"]
# Time passes in steps that are far from each border, or cross it by far.
MOVES = [SECOND, 11 * SECOND, 31 * SECOND, 150 * SECOND, DAY // 3, DAY + SECOND]
GRACES = [None, None, None, 0, 120 * SECOND]


class Access(Protocol):
    """What the model test does to a store behind its back."""

    @property
    def store(self) -> SessionStore:
        """The store."""

    def move(self, by: int) -> None:
        """Set every time of every row back, but for when sessions began and were revoked."""

    def snapshot(self) -> Any:
        """Return all that the store has."""

    def put_back(self, snapshot: Any) -> None:
        """Let the store have what it had."""


Result = tuple[str, str]  # verdict, token


@dataclass
class Run:
    """One random life of a store."""

    access: Access
    random: random.Random
    model: Model = field(default_factory=lambda: Model(IDLE))
    tokens: dict[str, list[str]] = field(default_factory=dict)  # of each session, as it got them
    saved: tuple[Any, Model] | None = None
    revocations: list[Revocation] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    done: int = 0  # steps

    def __post_init__(self) -> None:
        self.sessions = Sessions(
            self.access.store,
            [KEY, RETIRED],
            Terms(idle_ms=IDLE, most_ms=MOST, grace_ms=GRACE, most_sessions=MOST_SESSIONS),
            self._keep_revocation,
        )
        self.pool = ThreadPoolExecutor(4)

    def _keep_revocation(self, revocation: Revocation, reason: str) -> Revocation:
        added = self.access.store.revoke(revocation, reason)
        self.revocations.append(added)
        return added

    def steps(self, count: int) -> None:
        weights: dict[Callable[[], None], int] = {
            self.create: 12,
            self.refresh_latest: 40,
            self.refresh_old: 16,
            self.refresh_at_once: 10,
            self.forge: 6,
            self.move: 12,
            self.end_one: 3,
            self.revoke_around: 2,
            self.look_at_list: 4,
            self.restore: 1,
        }
        chosen = self.random.choices(list(weights), list(weights.values()), k=count)
        with self.pool:
            for step in chosen:
                self.done += 1
                step()

    # --- The steps ---

    def create(self) -> None:
        tenant, user = self.random.choice(TENANTS), self.random.choice(USERS)
        grace = self.random.choice(GRACES)
        before = self.access.store.now()
        live = self._names_of(tenant, user, before)
        made, ended = self.sessions.create(
            tenant, user, Grant(role="user", permissions=(), claims={"n": 1}), grace_ms=grace
        )
        name = made.session.id
        too_many = max(0, len(live) + 1 - MOST_SESSIONS)
        assert len(ended) == too_many, f"{len(ended)} sessions ended, not {too_many}"
        for each in ended:
            first = min(self.model.lives[other].began for other in live)
            assert each.began == first, "another session than the first one ended"
            live.remove(each.id)
            self.model.lives[each.id].ended = True
        self.model.lives[name] = Life(
            *(tenant, user, made.session.began, GRACE if grace is None else grace),
            until=made.session.expires_at,
            most=made.session.ends_at,
        )
        self.tokens[name] = [made.refresh_token]
        self._forget_old()
        self.seen["create"] += 1

    def refresh_latest(self) -> None:
        name = self._any_session()
        if name is not None:
            self._compare(name, [self.tokens[name][-1]])

    def refresh_old(self) -> None:
        """Repeat the predecessor, or a token that a thief or a tab still has."""
        name = self._any_session()
        if name is not None:
            back = self.random.choice([2, 2, 2, 3, 4, 5, 9])
            self._compare(name, [self.tokens[name][-min(back, len(self.tokens[name]))]])

    def refresh_at_once(self) -> None:
        """Refresh from several clients at the same moment, some of which are behind."""
        name = self._any_session()
        if name is not None:
            held = self.tokens[name]
            if self.random.random() < 0.5:
                self._compare(name, [held[-1]] * 4)
            else:
                self._compare(name, [held[-min(back, len(held))] for back in (1, 2, 3)])

    def forge(self) -> None:
        """Refresh with what no key has made. Nothing happens to the session."""
        name = self._any_session()
        if name is None:
            return
        right = self.tokens[name][-1]
        head, counter, mac = right.split(".")
        odd = [
            *(f"{head}.0{counter}.{mac}", f"{head}.+{counter}.{mac}", f"{head}.{2**64}.{mac}"),
            *(f"{right}.", right.upper(), "", "x.y.z", f"{head}.{int(counter) + 1}.{mac}"),
            make_refresh_token(b"x" * 32, b"salt", name, int(counter)),
        ]
        verdict, _ = self._refresh(self.random.choice(odd))
        allowed = {"refresh_token_malformed", "refresh_token_mismatch"}
        if name not in self.model.lives:
            allowed.add("session_unknown")
        assert verdict in allowed, verdict
        self.seen["forged"] += 1

    def move(self) -> None:
        by = self.random.choice(MOVES)
        self.access.move(by)
        self.model.move(by)

    def end_one(self) -> None:
        """Log out."""
        name = self._any_session()
        if name is not None and name in self.model.lives:
            self.sessions.end(self.sessions.session_of(self.tokens[name][0]), "logged_out")
            self.model.lives[name].ended = True
            self.seen["log out"] += 1

    def revoke_around(self) -> None:
        tenant, user = self.random.choice(TENANTS), self.random.choice(USERS)
        kept_until = int(now() * 1000) + MOST + DAY
        kind = self.random.choice(["user", "user", "user", "user", "tenant", "everything"])
        spared = None
        if kind == "user":
            names = self._names_of(tenant, user, self.access.store.now())
            spared = self.random.choice([None, *names])
            revocation = Revocation(
                kind="user",
                tenant_id=tenant,
                user_id=user,
                except_session=spared,
                ends_at=kept_until,
            )
        elif kind == "tenant":
            revocation = Revocation(kind="tenant", tenant_id=tenant, ends_at=kept_until)
        else:
            revocation = Revocation(kind="everything", ends_at=kept_until)
        at = self._keep_revocation(revocation, "revoked").at
        keys = {"user": (tenant, user), "tenant": (tenant,), "everything": ()}
        if spared is None:
            self.model.revoked[keys[kind]] = at
        else:  # all others of the user end
            for name, life in self.model.lives.items():
                if (life.tenant, life.user) == (tenant, user) and name != spared:
                    life.ended = life.ended or life.began <= at
        self.seen[f"revoke {kind}"] += 1

    def look_at_list(self) -> None:
        tenant, user = self.random.choice(TENANTS), self.random.choice(USERS)
        names = {each.id for each in self.sessions.list(tenant, user)}
        expected = set(self._names_of(tenant, user, self.access.store.now()))
        assert names == expected, f"listed {names ^ expected} wrongly"

    def restore(self) -> None:
        """Save the store or, once it was saved, let it be as it was: a backup came back.

        The hosts give their revocations to it again.
        """
        if self.saved is None:
            self.saved = self.access.snapshot(), self.model.copied()
            return
        snapshot, model = self.saved
        self.saved = None
        self.access.put_back(snapshot)
        self.access.store.restore(self.revocations)
        revoked, lives = self.model.revoked, self.model.lives
        for name, life in model.lives.items():
            # Ended by somebody, and not by itself or by age.
            named = any(each.kind == "session" and each.id == name for each in self.revocations)
            spared = any(self._ends(each, name, life) for each in self.revocations)
            life.ended = life.ended or (name in lives and (named or spared))
        self.model = model
        self.model.revoked = revoked
        self.seen["restore"] += 1

    @staticmethod
    def _ends(revocation: Revocation, name: str, life: Life) -> bool:
        return (
            revocation.kind == "user"
            and revocation.except_session not in (None, name)
            and (revocation.tenant_id, revocation.user_id) == (life.tenant, life.user)
            and life.began <= revocation.at
        )

    # --- What the steps are made of ---

    def _names_of(self, tenant: str, user: str, at: int) -> list[str]:
        return [
            name
            for name, life in self.model.lives.items()
            if (life.tenant, life.user) == (tenant, user) and not self.model.is_over(name, at)
        ]

    def _any_session(self) -> str | None:
        """Mostly one that goes on."""
        names = list(self.tokens)
        at = self.access.store.now()
        live = [name for name in self.model.lives if not self.model.is_over(name, at)]
        live = [name for name in live if name in self.tokens]
        if live and self.random.random() < 0.9:
            return self.random.choice(live)
        return self.random.choice(names) if names else None

    def _forget_old(self) -> None:
        at = self.access.store.now()
        for name in list(self.tokens)[:-60]:
            if name not in self.model.lives or self.model.is_over(name, at):
                del self.tokens[name]
                self.model.lives.pop(name, None)

    def _refresh(self, token: str) -> Result:
        """Refresh for real."""
        grant = Grant(role="user", permissions=(), claims={})
        try:
            return "refreshed", self.sessions.refresh(token, lambda _session: grant).refresh_token
        except SessionDenied as denied:
            return denied.reason, ""

    def _compare(self, name: str, tokens: list[str]) -> None:
        """Refresh with these tokens at once, and see that some order of them explains it all."""
        read = [read_refresh_token(token) for token in tokens]
        counters = [each[1] for each in read if each is not None]
        before = self.access.store.now()
        real = (
            [self._refresh(tokens[0])]
            if len(tokens) == 1
            else list(self.pool.map(self._refresh, tokens))
        )
        after = self.access.store.now()
        answered = [(verdict, int(token.split(".")[1]) if token else 0) for verdict, token in real]
        told = []
        for at in (after, before):
            for order in itertools.permutations(range(len(tokens))):
                model = Model(IDLE, self._life_alone(name), self.model.revoked)
                verdicts = [("", 0)] * len(tokens)
                for place in order:
                    verdict, counter = model.refresh(name, counters[place], at)
                    is_refreshed = verdict in ("advance", "repeat")
                    verdicts[place] = ("refreshed" if is_refreshed else verdict, counter)
                if _plain(verdicts) == _plain(answered) and _tells(verdicts) <= _tells(answered):
                    self.model.lives.update(model.lives)
                    self._keep(name, real)
                    return
                told.append(verdicts)
        raise AssertionError(f"tokens {counters}: {answered}, and none of {told}")

    def _life_alone(self, name: str) -> dict[str, Life]:
        return {name: copy.deepcopy(self.model.lives[name])} if name in self.model.lives else {}

    def _keep(self, name: str, real: list[Result]) -> None:
        for verdict, token in real:
            self.seen[verdict if len(real) == 1 else f"{verdict} at once"] += 1
            if token and token not in self.tokens[name]:
                self.tokens[name].append(token)
        self.tokens[name].sort(key=lambda token: int(token.split(".")[1]))


_ENDING = {"late_predecessor", "session_reused"}


def _plain(verdicts: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Several who see at once that a session has to end may each say why."""
    over = {*_ENDING, "session_ended"}
    return [
        ("over" if len(verdicts) > 1 and each[0] in over else each[0], each[1]) for each in verdicts
    ]


def _tells(verdicts: list[tuple[str, int]]) -> set[str]:
    """Why the session ends, if it does: at once with a refresh it may be either."""
    found = {verdict for verdict, _ in verdicts} & _ENDING
    return found if len(verdicts) == 1 else {"ends"} if found else set()
