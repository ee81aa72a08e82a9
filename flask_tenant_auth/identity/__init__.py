"""Who a request comes from. Nothing here imports Flask."""
