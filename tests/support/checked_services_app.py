"""What gunicorn serves of checked_services.py."""

from __future__ import annotations

from checked_services import services

application = services()
