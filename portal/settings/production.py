"""Production: HTTPS behind a proxy, everything secret from the environment or a file it names."""

from .base import *  # noqa: F403
from .base import env

SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# Limits count by the address the nearest proxy saw; without this every visitor would share one limit.
ALLAUTH_TRUSTED_PROXY_COUNT = env.int("TRUSTED_PROXY_COUNT", default=1)
SECURE_SSL_REDIRECT = True
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=31536000)
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
SESSION_COOKIE_NAME = "__Host-sessionid"
CSRF_COOKIE_NAME = "__Host-csrftoken"
CHAIN_PROFILE = env.str("CHAIN_PROFILE", default="production")

# Whatever the environment says: production shows nobody's sign-in codes, and no officer's key signs by itself.
DEMO = False
DEMO_SIGNS_FOR_OFFICERS = False
# … and prices come from exchanges.
EXCHANGE_SIMULATOR_URL = ""
