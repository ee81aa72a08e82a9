"""Mail passwords: encrypted, not hashed, because logging in to a mail server takes them whole."""

from __future__ import annotations

from cryptography.fernet import Fernet


class Vault:
    """Encrypts and decrypts under one Fernet key; without a key it keeps nothing."""

    def __init__(self, key: str) -> None:
        try:
            self._fernet = Fernet(key) if key else None
        except ValueError:
            raise RuntimeError(
                "MAIL_PASSWORD_KEY must be a Fernet key; this makes one:\n  python -c "
                "'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"
            ) from None

    @property
    def is_open(self) -> bool:
        """Whether there is a key."""
        return self._fernet is not None

    def encrypt(self, password: str) -> str:
        """What may be stored."""
        return self._open().encrypt(password.encode()).decode()

    def decrypt(self, stored: str) -> str:
        """The password again, for whoever logs in to the mail server."""
        return self._open().decrypt(stored).decode()

    def _open(self) -> Fernet:
        if self._fernet is None:
            raise RuntimeError("MAIL_PASSWORD_KEY is not set")
        return self._fernet
