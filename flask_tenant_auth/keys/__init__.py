"""From the key settings to keyrings. Nothing here imports Flask."""
