"""The secret in a page's address."""

import secrets
import string

TOKEN_LETTERS = frozenset(string.ascii_letters + string.digits + "-_")


def new_token() -> str:
    """A token that nobody guesses: 16 bytes by chance."""
    return secrets.token_urlsafe(16)
