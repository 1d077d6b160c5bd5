"""Production cannot be talked into the demo's conveniences."""

from __future__ import annotations

import os
import subprocess
import sys


def test_production_ignores_the_demos_switches() -> None:
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "portal.settings.production",
        "SECRET_KEY": "test-only",
        "DATABASE_URL": "postgresql:///nowhere",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "CHAIN_RPC_URL": "http://127.0.0.1:1",
        "DEMO": "1",
        "DEMO_SIGNS_FOR_OFFICERS": "1",
    }
    code = "from django.conf import settings; print(settings.DEMO, settings.DEMO_SIGNS_FOR_OFFICERS)"
    answer = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["False", "False"]
