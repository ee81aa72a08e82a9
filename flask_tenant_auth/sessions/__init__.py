"""Sessions: rows that are refreshed and revoked, and the stores that keep them."""
