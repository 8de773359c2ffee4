"""What a service refuses, and why. The API maps each to its status, pages show the text."""


class ServiceError(Exception):
    """`str(error)` is for a person: what happened and the cure."""

    status = 400
    title = "Bad request"


class NotSignedIn(ServiceError):
    status = 401
    title = "Not signed in"


class Forbidden(ServiceError):
    """The actor may see it, but not do this."""

    status = 403
    title = "Not allowed"


class NotFound(ServiceError):
    """It is not there, or the actor may not see it: the same answer."""

    status = 404
    title = "Not found"


class Conflict(ServiceError):
    status = 409
    title = "Conflict"


class TooLarge(ServiceError):
    status = 413
    title = "Too large"


class Invalid(ServiceError):
    """`fields` maps each refused field (camelCase) to its reason."""

    status = 422
    title = "Invalid input"

    def __init__(self, message: str, /, **fields: str) -> None:
        super().__init__(message)
        self.fields = fields


class TooMany(ServiceError):
    status = 429
    title = "Too many requests"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(ServiceError):
    status = 503
    title = "Unavailable"
