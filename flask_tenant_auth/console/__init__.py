"""The console: facts of an app as pages and as lines of a terminal. Knows no Flask."""
