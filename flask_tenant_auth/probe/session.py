"""One run of the checks: the client, what the app says of itself, and answers that several use."""

from __future__ import annotations

from functools import cached_property

from .exchange import Answer, Client, shown
from .facts import Facts, Person
from .outcome import Limited, NotAsked

# Of the routes that must be closed, so many are asked. Each 401 counts against AUTH_FAILURE_LIMIT.
MOST_ROUTES = 6
_MOST_PAGES = 3


class Session:
    """What the checks of one run share."""

    def __init__(self, client: Client, facts: Facts) -> None:
        self.client = client
        self.facts = facts

    def get(self, path: str, fields: dict[str, str] | None = None) -> Answer:
        """Return the answer to a GET that no limit denies.

        :raises Limited: where a limit denies it.
        """
        return seen(self.client.ask("GET", path, fields))

    @cached_property
    def strangers_answers(self) -> dict[str, Answer]:
        """What a stranger gets, by the path: the root, some public routes, the first closed one.

        :raises Limited: where a limit denies all of them.
        """
        paths = ["/", *self.facts.public[:_MOST_PAGES], *self.facts.protected[:1]]
        answers = {path: self.client.ask("GET", path) for path in dict.fromkeys(paths)}
        found = {path: answer for path, answer in answers.items() if answer.status != 429}
        if not found:
            seen(answers["/"])
        return found

    @cached_property
    def denied_answers(self) -> dict[str, Answer]:
        """What a stranger gets of the closed routes.

        :raises NotAsked: where there is none.
        """
        if not self.facts.protected:
            raise NotAsked("no GET route without parameters asks for an identity: give --path")
        return {path: self.get(path) for path in self.facts.protected[:MOST_ROUTES]}

    @cached_property
    def closed_answers(self) -> dict[str, Answer]:
        """Those of `denied_answers` that are a 401.

        :raises NotAsked: where there is none.
        """
        found = {path: each for path, each in self.denied_answers.items() if each.status == 401}
        if not found:
            raise NotAsked("no route answers 401: see closed")
        return found

    @property
    def person(self) -> Person:
        """Who asks.

        :raises NotAsked: where there is no token that may be sent.
        """
        person = self.facts.person
        if person is None:
            raise NotAsked("the app makes no token for a new user: give --token")
        if not self.client.sends_tokens:
            raise NotAsked("no token is sent to another machine without TLS: give --plain-tokens")
        return person

    @property
    def other(self) -> Person:
        """Somebody of another tenant.

        :raises NotAsked: as `person`.
        """
        self.person  # noqa: B018 - it raises
        if self.facts.other is None:
            raise NotAsked("there is no token of another tenant: give --other-token")
        return self.facts.other

    @cached_property
    def token_answers(self) -> dict[str, Answer]:
        """What the person gets of the closed routes.

        :raises NotAsked: where there is no token.
        """
        fields = self.person.fields
        return {path: self.get(path, fields) for path in self.closed_answers}

    @cached_property
    def own_answers(self) -> dict[str, Answer]:
        """Of those that accept the token the first that is shown, and the first 403.

        :raises NotAsked: where there is no token, or no route accepts it.
        """
        accepted = {path: each for path, each in self.token_answers.items() if accepts(each)}
        if not accepted:
            raise NotAsked("no route accepts the token: see token-accepted")
        forbidden = [path for path, each in accepted.items() if each.status == 403]
        others = [path for path in accepted if path not in forbidden]
        others.sort(key=lambda path: accepted[path].status >= 400)  # what shows something first
        return {path: accepted[path] for path in (*others[:1], *forbidden[:1])}


def accepts(answer: Answer) -> bool:
    """Whether a route that denies strangers has accepted the token that it was sent.

    A 500 does not say so.
    """
    return answer.status != 401 and answer.status < 500


def seen(answer: Answer) -> Answer:
    """Return an answer that is not that of a limit.

    :raises Limited: for a 429.
    """
    if answer.status == 429:
        wait = answer.get("Retry-After")
        ends = "" if wait is None else f", which ends in {shown(wait)} seconds"
        raise Limited(f"a limit denied the request{ends}")
    return answer
