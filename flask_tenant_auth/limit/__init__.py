"""Which limits count a request. Nothing here imports Flask."""
