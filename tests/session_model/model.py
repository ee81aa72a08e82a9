"""What a refresh has to answer, told by the history of each session alone.

The model knows each token that was ever rotated, and when. It shares nothing with what it judges.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

NEVER = -(10**18)
ENDED = "session_ended"


@dataclass
class Life:
    """One session."""

    tenant: str
    user: str
    began: int
    grace: int
    until: int  # by idleness
    most: int  # in any case
    current: int = 1  # the token that is valid
    rotated: dict[int, int] = field(default_factory=dict)  # when each older token was
    ended: bool = False


@dataclass
class Model:
    """All sessions, and what was revoked around them."""

    idle: int
    lives: dict[str, Life] = field(default_factory=dict)
    revoked: dict[tuple[str, ...], int] = field(default_factory=dict)

    def is_over(self, name: str, now: int) -> bool:
        life = self.lives[name]
        around = ((), (life.tenant,), (life.tenant, life.user))
        last = max(at for key in around for at in [self.revoked.get(key, NEVER)])
        return life.ended or now >= min(life.until, life.most) or life.began <= last

    def refresh(self, name: str, token: int, now: int) -> tuple[str, int]:
        """Return the verdict, and the token that the client has after it."""
        life = self.lives.get(name)
        if life is None:
            return "session_unknown", 0
        if self.is_over(name, now):
            return ENDED, 0
        if token >= life.current:  # later ones were forgotten by a store that was restored
            if token > life.current:
                life.rotated = dict.fromkeys(range(1, token), NEVER)
            life.rotated[token] = now
            life.current = token + 1
            life.until = now + self.idle
            return "advance", life.current
        fresh = now < life.rotated.get(token, NEVER) + life.grace and token >= life.current - 3
        if fresh:
            return ("repeat", life.current) if token == life.current - 1 else ("retry", 0)
        life.ended = True
        return ("late_predecessor" if token == life.current - 1 else "session_reused"), 0

    def move(self, by: int) -> None:
        """Let time pass: all times are further back."""
        for life in self.lives.values():
            life.until -= by
            life.most -= by
            life.rotated = {token: at - by for token, at in life.rotated.items()}

    def copied(self) -> Model:
        return copy.deepcopy(self)
