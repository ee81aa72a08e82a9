"""The settings of an app: their names, where they are read from, and what each may be."""
