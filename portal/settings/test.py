"""Tests: the real PostgreSQL, Redis and node; Celery runs in place and hashing is cheap."""

from datetime import timedelta

from .base import *  # noqa: F403
from .base import CACHES, STORAGES, env

ALLOWED_HOSTS = ["*"]
# What a test sees does not depend on the seconds since the one before.
CACHES = {**CACHES, "fragments": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
CELERY_TASK_ALWAYS_EAGER = True
CELERY_TASK_EAGER_PROPAGATES = True
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = True
ACCOUNT_RATE_LIMITS = False
STORAGES = {**STORAGES, "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
CHAIN_PROFILE = "test"
DEMO_SIGNS_FOR_OFFICERS = True
KEYSTORE_PASSWORD = env.str("KEYSTORE_PASSWORD", default="test-only-password")
# A test account on regtest (the mnemonic of the BIP-84 vectors): anybody can spend from it.
BITCOIN_NETWORK = "regtest"
BITCOIN_ACCOUNT_XPUB = (
    "tpubDC8msFGeGuwnKG9Upg7DM2b4DaRqg3CUZa5g8v2SRQ6K4NSkxUgd7HsL2XVWbVm39yBA4LAxysQAm397zwQSQoQgewGiYZqrA9DsP4zbQ1M"
)
BITCOIN_MASTER_FINGERPRINT = "73c5da0a"
RECIPIENT_COOLING_OFF = timedelta(0)  # the tests of it set their own
PAPER_DELIVERS_AT_ONCE = True  # the tests of deliveries turn it off
