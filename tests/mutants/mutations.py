"""Changes to a payload. Of some it is sure that they keep or break each valid token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from token_oracle import ABSENT, Configuration, first_at, places_of

from .configurations import CLAIMS, DAY, PLACES, REQUIRED_VALUES, put, value_for
from .writing import Again, Number, copied, nodes

USE_CLAIMS = ("type", "typ", "token_use")
VALUES: tuple[Any, ...] = (
    *(0, 1, -1, 2**70, True, False, None, "", " ", "id", "Refresh", "access", "mail:read a/b"),
    *(1.5, Number("-0"), Number("1.0"), Number("1e3"), Number("9" * 640), Number("1e999")),
    *("00000000-0000-0000-0000-000000000000", "00000000000000000000000000000000", "a\0b", "é"),
)


@dataclass
class Case:
    """A payload that is changed, what it is read with, and when."""

    config: Configuration
    payload: dict[str, Any]
    chance: Random
    now: int

    def any_node(self) -> tuple[Any, Any]:
        all_nodes = list(nodes(self.payload))
        return self.chance.choice(all_nodes) if all_nodes else ({"x": 1}, "x")

    def any_value(self) -> Any:
        """A value that may mean something here."""
        kind = self.chance.randrange(4)
        if kind == 0:
            return value_for(self.chance.choice(CLAIMS), self.chance, self.config)
        if kind == 1:
            container, key = self.any_node()
            return copied(container[key])
        if kind == 2:
            return self.chance.choice(REQUIRED_VALUES)
        return self.chance.choice((*VALUES, [], {}, [self.chance.choice(VALUES)]))

    def any_place(self) -> str:
        ours = [place for claim in CLAIMS for place in places_of(self.config, claim)]
        return self.chance.choice((*ours, *self.config.required, *USE_CLAIMS, *PLACES))


# --- what may keep or break a token -----------------------------------------


def remove_something(case: Case) -> None:
    container, key = case.any_node()
    del container[key]


def replace_something(case: Case) -> None:
    container, key = case.any_node()
    container[key] = case.any_value()


def swap_two(case: Case) -> None:
    (one, a), (other, b) = case.any_node(), case.any_node()
    one[a], other[b] = copied(other[b]), copied(one[a])


def put_somewhere(case: Case) -> None:
    put(case.payload, case.any_place(), case.any_value(), case.chance)


def put_a_claim(case: Case) -> None:
    """At a place of it that may be before or after the one that counted."""
    claim = case.chance.choice(CLAIMS)
    place = case.chance.choice(places_of(case.config, claim))
    value = value_for(claim, case.chance, case.config)
    put(case.payload, place, value if case.chance.random() < 0.7 else case.any_value(), case.chance)


def wrap_something(case: Case) -> None:
    container, key = case.any_node()
    value = container[key]
    container[key] = case.chance.choice(([value], {"0": value}, ["x", value], [[value]]))


def unwrap_something(case: Case) -> None:
    container, key = case.any_node()
    value = container[key]
    if isinstance(value, dict | list) and value:
        container[key] = next(iter(value.values())) if isinstance(value, dict) else value[-1]


def list_as_object(case: Case) -> None:
    """A pointer's 0 is an index of the one and a name of the other."""
    for container, key in nodes(case.payload):
        value = container[key]
        if isinstance(value, list):
            container[key] = {str(n): each for n, each in enumerate(value)}
        elif isinstance(value, dict) and "0" in value:
            container[key] = [value["0"]]


def rename_something(case: Case) -> None:
    container, key = case.any_node()
    if isinstance(container, dict) and isinstance(key, str):
        other = (key.upper(), key + " ", key + "\0", key[:-1], case.chance.choice(PLACES))
        container[case.chance.choice(other)] = container.pop(key)


def grow_a_list(case: Case) -> None:
    lists = [container[key] for container, key in nodes(case.payload)]
    lists = [value for value in lists if isinstance(value, list)]
    if lists:
        chosen = case.chance.choice(lists)
        chosen.insert(case.chance.randint(0, len(chosen)), case.any_value())


def move_inside(case: Case) -> None:
    moved = copied(case.payload)
    case.payload[case.chance.choice(("x", "a", "realm", "act"))] = moved


def change_a_letter(case: Case) -> None:
    container, key = case.any_node()
    value = container[key]
    if isinstance(value, str) and value:
        n = case.chance.randrange(len(value))
        changed = case.chance.choice((value[n].swapcase(), "", "0", "-", "\0", value[n] * 2))
        container[key] = value[:n] + changed + value[n + 1 :]


def say_who_acts(case: Case) -> None:
    tenant = copied(first_at(case.payload, places_of(case.config, "tenant_id")))
    if tenant is ABSENT or case.chance.random() < 0.3:
        tenant = case.any_value()
    act = {"sub": "x", "tenant_id": tenant, "act": {"sub": "y", "tenant_id": 5}}
    case.payload["act"] = {k: v for k, v in act.items() if case.chance.random() < 0.8}


# --- what keeps every token -------------------------------------------------


def nothing(case: Case) -> None:
    """Only its text differs: order, spaces, escapes."""


def add_the_unknown(case: Case) -> None:
    case.payload[f"unknown {case.chance.random()}"] = copied([case.any_value(), case.payload])


# --- what breaks every token ------------------------------------------------


def spoil_exp(case: Case) -> None:
    past = (case.now - DAY, 0, -1, -(2**70), "tomorrow", str(case.now + DAY), None, True, [])
    case.payload["exp"] = case.chance.choice((*past, Number("1e999"), Number("-1e300")))


def spoil_nbf(case: Case) -> None:
    case.payload["nbf"] = case.chance.choice((case.now + DAY, 2**70, "", None, Number("1e999")))


def spoil_iss(case: Case) -> None:
    wrong = (None, 5, ["https://a.example/"], {})
    others = () if case.config.issuer is None else ("", case.config.issuer + "/", "x")
    case.payload["iss"] = case.chance.choice((*wrong, *others))


def spoil_aud(case: Case) -> None:
    case.payload["aud"] = case.chance.choice((None, 5, "other", [], ["other"], {"api": 1}))


def say_a_name_twice(case: Case) -> None:
    objects = [container for container, _ in nodes(case.payload) if isinstance(container, dict)]
    chosen = case.chance.choice(objects)
    chosen[Again(case.chance.choice([key for key in chosen if isinstance(key, str)]))] = 1


def nest_too_deep(case: Case) -> None:
    deep: Any = 1
    for _ in range(64):
        deep = case.chance.choice(([deep], {"a": deep}))
    case.payload["x deep"] = deep


def say_half_a_character(case: Case) -> None:
    case.payload["x half"] = case.chance.choice(("\ud83d", "\ude00\ud83d"))


def write_too_many_digits(case: Case) -> None:
    case.payload["x long"] = Number("9" * 641)


def say_it_is_no_access_token(case: Case) -> None:
    refused = [name for name in USE_CLAIMS if not {name, f"/{name}"} & set(case.config.required)]
    if refused:
        case.payload[case.chance.choice(refused)] = case.chance.choice(("refresh", "ID", "Id"))
    else:
        spoil_exp(case)


Change = Callable[[Case], None]
OPEN: tuple[Change, ...] = (
    *(remove_something, replace_something, swap_two, put_somewhere, put_a_claim, put_a_claim),
    *(wrap_something, unwrap_something, list_as_object, rename_something, grow_a_list),
    *(move_inside, change_a_letter, say_who_acts),
)
KEEPS: tuple[Change, ...] = (nothing, add_the_unknown)
BREAKS: tuple[Change, ...] = (
    *(spoil_exp, spoil_nbf, spoil_iss, spoil_aud, say_a_name_twice, nest_too_deep),
    *(say_half_a_character, write_too_many_digits, say_it_is_no_access_token),
)
