"""An app's configuration: every setting, its default and its check."""
