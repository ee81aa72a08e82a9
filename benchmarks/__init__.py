"""Figures about flask_tenant_auth and its peers, measured side by side: `make bench`."""
