"""What ``@login_limit`` does with a request: it reserves, calls the view, and settles.

A login is counted before its view runs and given back afterwards, unless it has failed. What fails
is decided here; what is counted under which key, in `limit.logins`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from flask import after_this_request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as WerkzeugResponse

from .._core import Limit, Reservation, now
from ..audit import logger
from ..errors import AuthError, ConfigurationError
from ..limit.exceeded import Exceeded, Limited
from ..limit.logins import LoginRule, account_of
from ..limit.rules import answered
from ..sessions.devices import Device, Devices, new_device_id
from ..sessions.keys import session_keys
from ..sessions.store import StoreUnavailable
from .answers import Answer, deny_limited
from .records import current_request, json_object_in, noted_session, record_of
from .state import AppState, current_app

if TYPE_CHECKING:
    from flask import Request, Response
    from flask.app import Flask

_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # RFC 9110, section 9.2.1


def begin_login(rule: LoginRule) -> Login | Answer | None:
    """Reserve a failure for the current request, or deny it; None where it is not counted."""
    request = current_request()
    if request is None or not rule.applies_to(request.method):
        return None
    record = record_of(request)
    state: AppState = record.state
    if not state.settings.ratelimit_enabled:
        return None
    login = Login(rule, state, request)
    if login.decision.allowed:
        return login
    record.decision, record.limits = login.decision, login.request.limits
    return deny_limited(Exceeded(login.decision, login.request))


class Login:
    """One attempt to log in.

    One with a device cookie of the account is counted by that device alone, so that neither a
    guesser elsewhere nor one behind the same address can lock the device out.
    """

    def __init__(self, rule: LoginRule, state: AppState, request: Request) -> None:
        self._rule = rule
        self._state = state
        self._request = request
        self._address = request.remote_addr or ""
        self._account = _account_of(rule, request)
        self._devices = devices_of(state) if self._account is not None else None
        self._device = self._known_device()
        custom: tuple[str, ...] = ()
        if self._device is not None:
            limits, custom = rule.device, self._keys(rule.device, self._device.key)
        elif self._account is not None:
            limits = rule.account + rule.address
            custom = self._keys(rule.account, self._account)
        else:
            limits = rule.address
        self.request = Limited(limits, None, self._address, custom)
        self._reservation: Reservation = state.reserve(*self.request)
        self.decision = self._reservation.decision

    def returned(self, answer: Any) -> None:
        """Settle by what the view returned."""
        status = _status_of(answer)
        if status is None:
            self._settle_later()
        else:
            self._settle(status)

    def raised(self, error: BaseException) -> None:
        """Settle by what the view raised."""
        if isinstance(error, AuthError):
            if not 400 <= error.code < 500 or error.code == 429:
                self._give_back()
        elif isinstance(error, HTTPException):
            if error.code != 401:
                self._give_back()
        elif isinstance(error, Exception) and _has_handler(error, self._request):
            self._settle_later()  # the handler of the app decides what it is
        else:
            self._give_back()

    def _keys(self, limits: Iterable[Limit], key: str) -> tuple[str, ...]:
        return tuple(key for _ in limits)

    def _settle_later(self) -> None:
        """Settle by the response that leaves."""

        def settle(response: Response) -> Response:
            self._settle(response.status_code)
            return response

        after_this_request(settle)

    def _settle(self, status: int) -> None:
        if status == 401:
            return
        self._give_back()
        if self._account is not None and self._has_succeeded(status):
            self._clear()
            self._set_device_cookie()

    def _has_succeeded(self, status: int) -> bool:
        """Whether a user has proved who it is. An answer alone says it where sessions are off."""
        if noted_session(self._request) is not None:
            return status < 400
        sessions_are_on = self._state.session_store is not None
        return not sessions_are_on and status < 300 and self._request.method not in _SAFE

    def _give_back(self) -> None:
        self._reservation.give_back()

    def _clear(self) -> None:
        """Forget the failures of the account, and of its device. Those of the address stay."""
        assert self._account is not None  # noqa: S101 - the caller has checked it
        self._reset(self._rule.account, self._account)
        if self._device is not None:
            self._reset(self._rule.device, self._device.key)

    def _reset(self, limits: tuple[Limit, ...], key: str) -> None:
        try:
            self._state.limiter.reset(limits, None, self._address, self._keys(limits, key))
        except OSError as error:
            logger.warning("A log in did not clear the failures of its account: %s", error)

    # -- the device ------------------------------------------------------------------------------

    def _known_device(self) -> Device | None:
        """Return the device that a cookie of the request proves, if no revocation has ended it."""
        if self._devices is None or self._account is None:
            return None
        at = int(now() * 1000)
        for cookie in self._request.cookies.getlist(device_cookie_name(self._state)):
            device = self._devices.read(self._account, cookie, at)
            if device is not None and self._is_good(device):
                return device
        return None

    def _is_good(self, device: Device) -> bool:
        store = self._state.session_store
        if store is None:
            return True
        if device.tenant_id is None or device.user_id is None:
            return False  # made while sessions were off: nobody knows whose it is
        try:
            return device.made_at > store.revoked_at(device.tenant_id, device.user_id)
        except StoreUnavailable as error:
            logger.warning("A device cookie cannot be checked, and does not count: %s", error)
            return False

    def _set_device_cookie(self) -> None:
        if self._devices is None or self._account is None:
            return
        session = noted_session(self._request)
        known = self._device
        device = Device(
            id=new_device_id() if known is None else known.id,
            made_at=int(now() * 1000) if session is None else session.began,
            tenant_id=None if session is None else session.tenant_id,
            user_id=None if session is None else session.user_id,
        )
        name, seconds = device_cookie_name(self._state), self._devices.seconds
        value = self._devices.make(self._account, device)

        def set_cookie(response: Response) -> Response:
            response.set_cookie(
                name, value, max_age=seconds, secure=True, httponly=True, samesite="Lax"
            )
            return response

        after_this_request(set_cookie)


def device_cookie_name(state: AppState) -> str:
    """Return the name of the device cookie: one that only this very host can set (RFC 6265bis)."""
    return f"__Host-{state.settings.auth_cookie_name}-device"


def devices_of(state: AppState) -> Devices | None:
    """Return what makes the device cookies of an app; None for one without a secret."""
    try:
        keys = session_keys(state.settings)
    except ConfigurationError:
        return None
    return Devices(keys, int(state.settings.auth_session_max_days * 86_400_000))


def _account_of(rule: LoginRule, request: Request) -> str | None:
    """Return the account that a request names.

    Which of two the view takes is not known. If one of them were guessed here, a client could name
    another account for each guess, and get the device cookie of an account that is not its own.

    :raises AuthError: 400, for a request that names two.
    """
    if not isinstance(rule.key, str):
        return account_of(answered(rule.key(request), "key"))
    name = rule.key
    named: list[object] = [*request.form.getlist(name), *request.args.getlist(name)]
    # Also without a Content-Type: a view may read it so.
    named.append(json_object_in(request, of_any_type=True).get(name))
    accounts = {account_of(each) for each in named} - {None}
    if len(accounts) > 1:
        raise AuthError(f"{name} is given twice", 400, reason="account_repeated")
    return accounts.pop() if accounts else None


def _status_of(answer: Any) -> int | None:
    """Return the status of what a view returned (see `flask.Flask.make_response`); None: unknown.

    :raises ValueError: for a status that is none, which Flask would raise for as well.
    """
    if isinstance(answer, tuple):
        for part in answer[1:]:
            if isinstance(part, str):
                return int(part.split(None, 1)[0])
            if part is not None and not isinstance(part, dict | list | tuple | Headers):
                return int(part)
        return _status_of(answer[0]) if answer else None
    if isinstance(answer, WerkzeugResponse):
        return answer.status_code
    if isinstance(answer, HTTPException):
        return answer.code
    return None if callable(answer) else 200


def _has_handler(error: Exception, request: Request) -> bool:
    """Whether the app has an error handler of its own for an exception."""
    app: Flask = current_app._get_current_object()
    return any(
        isinstance(error, kind)
        for scope in (None, *request.blueprints)
        for kind in app.error_handler_spec[scope][None]
    )
