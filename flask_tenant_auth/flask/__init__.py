"""What speaks Flask: the extension, the decorators, and the state of each app and request."""
