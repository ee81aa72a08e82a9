"""Encrypts mail passwords. A hash would not do: logging in to a mail server needs the password."""

from __future__ import annotations

from cryptography.fernet import Fernet


class PasswordCipher:
    """Encrypts and decrypts with one Fernet key, or has no key and does neither."""

    def __init__(self, key: str) -> None:
        try:
            self._fernet = Fernet(key) if key else None
        except ValueError:
            raise RuntimeError(
                "MAIL_PASSWORD_KEY must be a Fernet key. This command makes one:\n  python -c "
                "'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"
            ) from None

    @property
    def has_key(self) -> bool:
        """Whether a key is set."""
        return self._fernet is not None

    def encrypt(self, password: str) -> str:
        """Return the form that is stored."""
        return self._with_key().encrypt(password.encode()).decode()

    def decrypt(self, stored: str) -> str:
        """Return the password of its stored form."""
        return self._with_key().decrypt(stored).decode()

    def _with_key(self) -> Fernet:
        if self._fernet is None:
            raise RuntimeError("MAIL_PASSWORD_KEY is not set")
        return self._fernet
