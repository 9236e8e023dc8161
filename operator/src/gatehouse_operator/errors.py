"""Why a resource is not as its spec says; no message tells a credential.

`reason` is the one of the resource's condition, in the field's usual form.
"""


class Trouble(Exception):
    """Something keeps a resource from being as its spec says."""

    reason = "Failed"
    is_passing = False
    """Whether it may well be over soon, and is told of only if it lasts."""
    retry_after = 0.0
    """When to try again at the earliest, in seconds."""


class ClusterAway(Trouble):
    """The API server does not answer, or has failed."""

    reason = "ClusterAway"
    is_passing = True


class ClusterRefused(Trouble):
    """The API server does not take what the operator writes, or lets it."""

    reason = "ClusterRefused"
    is_passing = True


class InvalidSpec(Trouble):
    """The spec cannot be read."""

    reason = "InvalidSpec"


class NotOwned(Trouble):
    """The object in Keycloak, or the Secret, is somebody else's."""

    reason = "NotOwned"


class RealmNotReady(Trouble):
    """The realm is not there yet, or is not ours."""

    reason = "RealmNotReady"
    is_passing = True


class SecretMissing(Trouble):
    """A Secret that is named has no such key, or is not there."""

    reason = "SecretMissing"


class ClientSecretMissing(SecretMissing):
    """It is the one with which a client is to sign in."""


class NotKept(Trouble):
    """Keycloak has taken a change, and shows something else."""

    reason = "NotKept"
    is_passing = True


class KeycloakError(Trouble):
    """Something that was asked of Keycloak has not been done."""

    reason = "KeycloakError"


class KeycloakAway(KeycloakError):
    """It does not answer, has failed, or asks to be left alone.

    Args:
        message: In a sentence.
        retry_after: When to ask again, in seconds; 0 if it does not say.
    """

    reason = "KeycloakAway"
    is_passing = True

    def __init__(self, message: str, retry_after: float = 0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotAllowed(KeycloakError):
    """The operator's account is not known, or may not do this."""

    reason = "NotAllowed"


class NotThere(KeycloakError):
    """There is no such thing."""

    reason = "NotThere"


class Refused(KeycloakError):
    """It is against Keycloak's rules."""

    reason = "Refused"
