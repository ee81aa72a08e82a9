"""Measures flask_tenant_auth and its peers in the same run: `make bench`."""
