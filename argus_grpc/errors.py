"""What can go wrong, in the domain's own words. status.py says how each is told to a caller."""

_MAX_SHOWN = 200


class ArgusError(Exception):
    """The base of every error that a caller is told about. `str()` is fit for a caller's eyes."""


def shown(value: object) -> str:
    """A value as an error tells it: a text in quotes, nothing of any length. None says that it is unset."""
    text = "unset" if value is None else repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}… ({len(text)} characters)"


class InvalidField(ArgusError):
    """A field of a request does not fit. A `value` of None says that it is unset."""

    def __init__(self, field: str, value: object, allowed: str) -> None:
        self.field = field
        self.description = f"{shown(value)} is not allowed; allowed: {allowed}"
        super().__init__(f"{field}: {self.description}")


class NotAuthenticated(ArgusError):
    """Who calls is not known: credentials are missing, wrong or no longer good. `str()` never has them."""


class NotPermitted(ArgusError):
    """The caller's role does not allow this. field: of the request, where it is about one."""

    def __init__(self, description: str, field: str | None = None) -> None:
        self.field = field
        self.description = description
        super().__init__(f"{field}: {description}" if field else description)


class KeysUnavailable(ArgusError):
    """Credentials cannot be verified for now, since the keys for it have not been had yet."""

    retry_after_s = 1.0

    def __init__(self) -> None:
        super().__init__("the keys that credentials are verified with cannot be had; try again")


class AccessChanged(ArgusError):
    """A caller was revoked, has another role, or its credentials have expired, while its call ran."""

    retry_after_s = 0.0

    def __init__(self) -> None:
        super().__init__(
            "what the caller may have has changed; call again, or resume, to go on with what it is now"
        )


class InvalidToken(ArgusError):
    """A resume token is not one of ours, or not for this request."""


class TokenExpired(ArgusError):
    """A resume token's time is over."""


class EventsRemoved(ArgusError):
    """Events of a running or resumed export have been removed, so it cannot be whole."""

    def __init__(self) -> None:
        super().__init__("events of this export have been removed since it began; start it anew")


class EventsMissed(ArgusError):
    """Events that come after a query's after_sequence have been removed, so an export would miss them."""

    def __init__(self, after_sequence: int, removed_through: int) -> None:
        super().__init__(
            f"events {after_sequence + 1:,} to {removed_through:,} have been removed; pass "
            f"query.after_sequence {removed_through} or more, or 0, to export what is left"
        )


class OutOfReach(ArgusError):
    """Events of a resumed export are older by now than its caller may see, so it cannot be whole."""

    def __init__(self) -> None:
        super().__init__(
            "events of this export are further back in time by now than your role may see; start it anew"
        )


class Exhausted(ArgusError):
    """There is no more of something for now; the same call may do after retry_after_s."""

    def __init__(self, what: str, description: str, retry_after_s: float) -> None:
        super().__init__(f"{what}: {description}")
        self.what = what
        self.retry_after_s = retry_after_s


class LimitReached(Exhausted):
    """A limit of the service is reached."""

    def __init__(self, limit: str, value: int, of_what: str, retry_after_s: float) -> None:
        super().__init__(limit, f"the limit of {value} {of_what} is reached; try again later", retry_after_s)


class StoreFull(Exhausted):
    """The database's disk has no room for a batch."""

    def __init__(self, found: str) -> None:
        description = f"the database's disk is full ({found}); nothing of the batch was stored"
        super().__init__("disk_space", description, retry_after_s=5.0)


class TooLarge(ArgusError):
    """An answer needs more of something than there is for it, now and later."""

    def __init__(self, what: str, description: str) -> None:
        super().__init__(f"{what}: {description}")
        self.what = what


class SumOverflow(ArgusError):
    """A sum of integers is beyond 64 bits."""

    def __init__(self, field: str, column: str) -> None:
        self.field = field
        self.description = (
            f"the sum of {column} is beyond 64 bits in some group; group by more, or narrow the query"
        )
        super().__init__(f"{field}: {self.description}")


class Cancelled(ArgusError):
    """The caller has gone, or asked to stop."""

    def __init__(self) -> None:
        super().__init__("the call was cancelled")


class StoreUnavailable(ArgusError):
    """The database cannot be opened or is closing."""
