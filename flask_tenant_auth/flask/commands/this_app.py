"""The app that a command works on."""

from __future__ import annotations

from flask import Flask, current_app

from ..state import AppState, state_of


def this_app() -> Flask:
    """Return the app itself, and not Flask's proxy."""
    return current_app._get_current_object()  # type: ignore[attr-defined,no-any-return]


def this_state() -> AppState:
    """Return what the app has made of its configuration."""
    return state_of(this_app())
