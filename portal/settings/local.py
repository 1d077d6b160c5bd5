"""Demo and development on one machine. `make demo` hands everything over in the environment."""

from .base import *  # noqa: F403
from .base import env

DEBUG = env.bool("DEBUG", default=False)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
# Passkeys need https or localhost; browsers treat http://localhost as secure.
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = True
