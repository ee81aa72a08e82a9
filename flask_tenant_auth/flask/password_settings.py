"""AUTH_PASSWORD_ITERATIONS of the running app, for `passwords`, which knows no app."""

from __future__ import annotations

from .. import passwords
from .state import current_app, state_of


def _iterations_of_app() -> int:
    """Return the iterations of the running app; the default where none runs.

    :raises ConfigurationError: where the app's configuration is not valid.
    """
    if not current_app:
        return passwords.PASSWORD_ITERATIONS
    return state_of(current_app._get_current_object()).settings.auth_password_iterations


passwords.iterations_of_app = _iterations_of_app
