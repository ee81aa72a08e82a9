"""What speaks Flask: the extension, its hooks, its decorators and its commands."""
