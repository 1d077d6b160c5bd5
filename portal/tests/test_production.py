"""Production cannot be talked into the demo's conveniences."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from django.conf import settings
from django.urls import reverse


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


def example_of_the_proxy() -> str:
    return (Path(settings.BASE_DIR) / "deploy" / "nginx.conf").read_text()


def test_the_example_of_a_proxy_lets_evidence_through() -> None:
    (megabytes,) = re.findall(r"client_max_body_size\s+(\d+)m;", example_of_the_proxy())
    assert int(megabytes) * 1024 * 1024 >= settings.DATA_UPLOAD_MAX_MEMORY_SIZE > settings.EVIDENCE_MAX_BYTES


def test_the_example_of_a_proxy_compresses_pages_but_none_with_a_lasting_secret() -> None:
    example = example_of_the_proxy()
    assert re.search(r"^\s*gzip\s+on;", example, re.MULTILINE)
    assert not re.search(r"^\s*gzip_types", example, re.MULTILINE)
    plain = re.search(r"location (\S+) \{\s+gzip\s+off;", example)
    assert plain
    for page in ("account_login", "mfa_activate_totp", "mfa_view_recovery_codes", "mfa_generate_recovery_codes"):
        assert reverse(page).startswith(plain[1]), page
