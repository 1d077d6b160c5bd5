"""Production cannot be talked into the demo's conveniences."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from django.conf import settings


def in_production(*names: str) -> list[str]:
    """What the production settings say under these names, in a process of their own; the environment asks for the demo."""
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "portal.settings.production",
        "SECRET_KEY": "test-only",
        "DATABASE_URL": "postgresql:///nowhere",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "CHAIN_RPC_URL": "http://127.0.0.1:1",
        "DEMO": "1",
        "DEMO_SIGNS_FOR_OFFICERS": "1",
    }
    code = f"from django.conf import settings; print(*(getattr(settings, name) for name in {names}), sep='|')"
    answer = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return answer.stdout.strip().split("|")


def test_production_ignores_the_demos_switches() -> None:
    assert in_production("DEMO", "DEMO_SIGNS_FOR_OFFICERS") == ["False", "False"]


def test_production_speaks_https_only_and_its_cookies_and_files_stay_what_they_are() -> None:
    switches = ["SECURE_SSL_REDIRECT", "SECURE_HSTS_INCLUDE_SUBDOMAINS", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE"]
    switches += ["SESSION_COOKIE_HTTPONLY", "SECURE_CONTENT_TYPE_NOSNIFF"]
    assert in_production(*switches) == ["True"] * len(switches)
    (seconds,) = in_production("SECURE_HSTS_SECONDS")
    assert int(seconds) >= 31_536_000
    assert in_production("SESSION_COOKIE_NAME", "CSRF_COOKIE_NAME") == ["__Host-sessionid", "__Host-csrftoken"]


def test_uploads_lie_outside_everything_the_site_serves_as_files() -> None:
    """They leave only through views that check the reader and send them as attachments or without an origin (sandbox)."""
    private, static, media_root, media_url = in_production("PRIVATE_ROOT", "STATIC_ROOT", "MEDIA_ROOT", "MEDIA_URL")
    assert (media_root, media_url) == ("", "/")
    served = [Path(static), *(Path(folder) for folder in settings.STATICFILES_DIRS)]
    assert served
    assert not any(Path(private).is_relative_to(folder) or folder.is_relative_to(private) for folder in served)
