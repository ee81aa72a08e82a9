"""Metrics: the counters of an app, and their exposition for Prometheus. Knows no Flask."""
