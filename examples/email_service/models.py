"""The tables of users and accounts."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import DateTime, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from flask_tenant_auth.sqlalchemy import TenantScoped, UserScoped

from .database import Base


class User(TenantScoped, Base):
    """Somebody of a tenant who can log in."""

    __tablename__ = "users"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    # In lower case. Nobody says a tenant at log in, so an address belongs to one user of them all.
    email: Mapped[str] = mapped_column(String(254), unique=True)
    role: Mapped[str] = mapped_column(String(32))
    password_hash: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), default=lambda: datetime.now(timezone.utc)
    )

    def summary(self) -> dict[str, Any]:
        """Return who it is."""
        return {
            "id": str(self.id),
            "tenant_id": str(self.tenant_id),
            "email": self.email,
            "role": self.role,
        }


class Account(UserScoped, Base):
    """A mailbox of a user, and the server that it is on."""

    __tablename__ = "accounts"
    __table_args__ = (Index("accounts_by_owner", "tenant_id", "user_id", "created_at", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    email: Mapped[str] = mapped_column(String(254))
    account_type: Mapped[str] = mapped_column(String(8))
    hostname: Mapped[str] = mapped_column(String(253))
    port: Mapped[int]
    encryption: Mapped[str] = mapped_column(String(8))
    is_sync_enabled: Mapped[bool]
    # Encrypted. No answer holds it.
    password: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), default=lambda: datetime.now(timezone.utc)
    )

    def summary(self) -> dict[str, Any]:
        """Return the fields that a list shows."""
        return {
            "id": str(self.id),
            "email": self.email,
            "account_type": self.account_type,
            "is_sync_enabled": self.is_sync_enabled,
        }

    def details(self) -> dict[str, Any]:
        """Return all fields but the password."""
        return self.summary() | {
            "hostname": self.hostname,
            "port": self.port,
            "encryption": self.encryption,
        }
