"""Demo and development on one machine. `make demo` hands everything over in the environment."""

from datetime import timedelta

from .base import *  # noqa: F403
from .base import CELERY_BEAT_SCHEDULE, CHAIN_RPC_URL, DEMO, env

DEBUG = env.bool("DEBUG", default=False)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
# A demonstration has no day to wait.
RECIPIENT_COOLING_OFF = timedelta(seconds=env.float("RECIPIENT_COOLING_OFF_SECONDS", default=0.0))
# On one machine a wallet reaches the same node.
CHAIN_PUBLIC_RPC_URL = env.str("CHAIN_PUBLIC_RPC_URL", default=CHAIN_RPC_URL)
# Passkeys need https or localhost; browsers treat http://localhost as secure.
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = True
PAPER_DELIVERS_AT_ONCE = env.bool("PAPER_DELIVERS_AT_ONCE", default=True)
# In a demonstration: what people and services outside would do (portal/demo/outside.py).
DEMO_FEEDS_EVERY = 1200.0
DEMO_SCHEDULE = {
    "demo-collateral": {"task": "portal.tasks.demo_move_collateral_task", "schedule": 5.0, "options": {"expires": 5}},
    "demo-feeds": {"task": "portal.tasks.demo_feeds_task", "schedule": DEMO_FEEDS_EVERY, "options": {"expires": 600}},
}
if DEMO:
    CELERY_BEAT_SCHEDULE |= DEMO_SCHEDULE
