"""Who is connected: the token of a request, and how much its owner has asked lately."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.cluster.limits import Bucket
from engine.cluster.options import ClusterOptions
from engine.cluster.tokens import Token, TokenFile
from engine.errors import BadRequestError, RemaskError

log = logging.getLogger("ray.serve")

BURST_REQUESTS = 4.0  # seconds' worth
BURST_BYTES = 16.0
UPGRADES_PER_SECOND, UPGRADES_AT_ONCE = 2.0, 40.0


class UnauthorizedError(RemaskError):
    """No token, or one that is not valid (any more)."""


class TooManyRequestsError(RemaskError):
    """Over the token's rate; `wait` is in seconds."""

    def __init__(self, message: str, wait: float) -> None:
        super().__init__(message)
        self.wait = wait


@dataclass(slots=True, eq=False)
class User:
    """A token in use. Connections of the same token share its buckets."""

    token: Token
    requests: Bucket
    bytes: Bucket
    upgrades: Bucket = field(default_factory=lambda: Bucket(UPGRADES_PER_SECOND, UPGRADES_AT_ONCE))
    connections: int = 0
    posts: int = 0  # by HTTP, under way

    def admit(self, size: int) -> float:
        """Let a request of `size` bytes in and return 0.0, or the seconds to wait."""
        return self.requests.take() or self.bytes.take(size)


class Users:
    """The tokens' owners, as far as they have come by."""

    def __init__(self, options: ClusterOptions) -> None:
        self.tokens = TokenFile(options.tokens)
        self.refresh()
        self._options = options
        self._users: dict[str, User] = {}

    def identify(self, headers: Mapping[str, str]) -> User:
        """The user of a request's `Authorization`; `UnauthorizedError` says what is wrong with it."""
        scheme, _, secret = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise UnauthorizedError("send a token: Authorization: Bearer TOKEN (your administrator has it)")
        token = self.tokens.find(secret.strip())
        if token is None and self.refresh():  # just added
            token = self.tokens.find(secret.strip())
        if token is None:
            raise UnauthorizedError("this token is unknown, revoked or expired: ask your administrator for another")
        user = self._users.get(token.sha256)
        if user is None:
            o = self._options
            user = User(
                token,
                Bucket(o.requests_per_second, o.requests_per_second * BURST_REQUESTS),
                Bucket(o.bytes_per_second, o.bytes_per_second * BURST_BYTES),
            )
            self._users[token.sha256] = user
        return user

    def refresh(self) -> bool:
        """Read the file of tokens again if it changed; a damaged one is reported and the older contents stay."""
        try:
            changed = self.tokens.refresh()
        except BadRequestError as damaged:
            log.error("%s", damaged)
            return False
        if changed:
            log.info("the tokens were read again")
        return changed

    def still_valid(self, user: User) -> bool:
        """Whether its token is there and has not expired."""
        return self.tokens.valid(user.token.sha256) is not None

    def forget_gone(self) -> None:
        """Drop what is known of tokens that are no longer valid."""
        for sha256, user in list(self._users.items()):
            if not self.still_valid(user) and not user.connections:
                del self._users[sha256]
