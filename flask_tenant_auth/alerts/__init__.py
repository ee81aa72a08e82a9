"""Alerts: what is counted, and how somebody is told when it is too much."""
