"""A denial in the form in which a library of the app writes its own errors.

Flask-Smorest and APIFlask register a handler of HTTPException. Their documentation says that it
answers every HTTP error of the app, and their OpenAPI pages show its form. So it answers denials
too: with the documented message, and with the documented member ``error`` beside its own.
Flask-RESTful and Flask-RESTX ask no handler of the app: they write `AuthError.data`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from flask.app import Flask
from werkzeug.exceptions import HTTPException, default_exceptions

from ..errors import PROBLEM_TYPE, AuthError

Handler = Callable[[AuthError], Any]


def handler_of_denials(app: Flask) -> Handler:
    """Return the handler that answers denials in an app that has no handler of `AuthError`.

    It is the app's own handler of HTTPException, or that of its library. Without one, and where
    AUTH_PROBLEM_JSON decides and not the form of a library, the error renders itself.
    """
    handler = app.error_handler_spec[None][None].get(HTTPException)
    if handler is None:
        return AuthError.get_response
    by_library = _LIBRARIES.get(_package_of(handler))
    if by_library is not None:
        return by_library(app, handler)
    return app.ensure_sync(handler)


def _package_of(function: Any) -> str:
    """Return the top-level package or module that a function is written in."""
    return (getattr(function, "__module__", None) or "").partition(".")[0]


def _by_smorest(_app: Flask, handler: Handler) -> Handler:
    """Ask `Api.handle_http_exception`: it takes the message from `AuthError.data`."""

    def answer(error: AuthError) -> Any:
        if error.content_type == PROBLEM_TYPE:
            return error.get_response()
        answered = handler(error)
        if isinstance(answered, tuple) and isinstance(answered[0], dict):
            answered[0].setdefault("error", error.data["error"])
        return answered

    return answer


def _by_apiflask(app: Any, _handler: Handler) -> Handler:
    """Ask what `app.error_processor` has registered, or the default.

    The registered handler itself passes the phrase of the status on, and no message.
    """
    callback = app.error_callback
    is_default = _package_of(callback) == "apiflask"

    def answer(error: AuthError) -> Any:
        is_problem = is_default and error.content_type == PROBLEM_TYPE
        if is_problem or error.code not in default_exceptions:
            return error.get_response()
        return callback(
            sys.modules["apiflask"].HTTPError(
                error.code,
                message=error.message,
                headers=dict(error.headers),
                extra_data={"error": error.data["error"]},
            )
        )

    return answer


def _by_itself(_app: Flask, _handler: Handler) -> Handler:
    return AuthError.get_response


_LIBRARIES: dict[str, Callable[[Flask, Handler], Handler]] = {
    "apiflask": _by_apiflask,
    "connexion": _by_itself,  # its own form is a problem, without the documented message
    "flask_smorest": _by_smorest,
}
