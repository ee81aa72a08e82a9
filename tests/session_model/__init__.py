"""Random lives of sessions on a real store, against a model of fifty lines."""
