"""Reads what AUDIT_LOG has written: searches, verifies, erases, prunes. Nothing imports Flask."""
