"""What is known of the age of keys, and the next step of their rotation.

`flask auth rotate-key` prints the three rounds of a rotation: add the next key, sign with it, and
retire the old one. An app knows its keys, not which round its operators have reached. So a sentence
here names the condition where there is one.
"""

from __future__ import annotations

from .words import duration


def age_of_given(since: float | None, dates: str | None) -> str:
    """Say how old a key of a setting is.

    :param since: seconds since this process has it; None: it has just begun.
    :param dates: what is known of its certificate or its file.
    """
    if dates is not None:
        return f"{dates}{_also_had(since)}"
    return f"not known, as a setting has no date{_also_had(since)}"


def age_of_fetched(since: float | None, fetched: float | None) -> str:
    """Say how old a key of a provider is.

    :param since: seconds since this process has it; None: it has just begun.
    :param fetched: seconds since this host has fetched the set; None: it is not fetched.
    """
    known = "not known" if fetched is None else f"fetched {duration(fetched)} ago"
    return f"{known}{_also_had(since)}"


def _also_had(since: float | None) -> str:
    return "" if since is None else f"; this worker has had it for {duration(since)}"


def step_of_signing(setting: str, *, others: int, hours: float) -> str:
    """Return the next step for the key that signs.

    :param others: how many keys JWT_SECRET_KEY_FALLBACKS has.
    :param hours: JWT_EXPIRATION_HOURS.
    """
    if not others:
        return (
            "No rotation is on its way. To begin one: add the next key to "
            "JWT_SECRET_KEY_FALLBACKS on every host (round 1 of flask auth rotate-key)."
        )
    return (
        f"If a key of JWT_SECRET_KEY_FALLBACKS is the next one: make it {setting} on every host "
        f"(round 2). If this one is the next one already: round 3 comes {hours:g} hours after it "
        "began to sign."
    )


def step_of_fallback(setting: str | None, *, hours: float) -> str:
    """Return the next step for a key of JWT_SECRET_KEY_FALLBACKS.

    :param setting: of the key that signs; None: this app signs nothing.
    """
    if setting is None:
        return (
            "Once the service that signs has signed with another key for as long as its tokens "
            "live: remove this one from JWT_SECRET_KEY_FALLBACKS."
        )
    return (
        f"If it is the next key: make it {setting} (round 2). If it is the old one: remove it from "
        f"JWT_SECRET_KEY_FALLBACKS {hours:g} hours after the new one began to sign (round 3)."
    )


def step_of_public(setting: str) -> str:
    """Return the next step for a key that only verifies what another service signs."""
    return (
        f"The service that signs rotates it: add its next public key to JWT_SECRET_KEY_FALLBACKS "
        f"before it signs with that, and make that key {setting} afterwards."
    )


def step_of_source(name: str, *, given: bool, file: bool, failure: str | None) -> str:
    """Return the next step for a key of a set.

    :param name: the setting.
    :param given: whether the set stands in the setting itself.
    :param file: whether it is a file, which is read again when it changes.
    :param failure: why it could not be read the last time.
    """
    if failure is not None:
        return f"Nothing is fetched at the moment: {failure}. The keys of before stay for a while."
    if given:
        return f"Add the next key of the provider to {name} before the provider signs with it."
    if file:
        return "Write the provider's next key into the file: it is read again when it changes."
    return "None: the provider rotates it, and its new keys are fetched by themselves."
