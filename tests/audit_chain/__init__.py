"""Random lives of a chain of audit lines, and random attacks on it."""
