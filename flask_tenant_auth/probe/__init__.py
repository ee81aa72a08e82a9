"""A running service, asked over HTTP as a stranger, a browser page and another tenant would.

It knows no Flask: `flask auth check --url` gives it what the app says of itself.
"""
