"""The back office speaks the reader's language."""

from __future__ import annotations

import re

from django.apps import apps
from django.contrib import admin
from django.utils import translation

JAPANESE = re.compile("[\u3040-\u30ff\u4e00-\u9fff]")


def test_every_record_and_its_app_have_a_japanese_name() -> None:
    assert admin.site._registry
    with translation.override("ja"):
        named = {
            (model._meta.label, str(name))
            for model in admin.site._registry
            for name in (
                model._meta.verbose_name,
                model._meta.verbose_name_plural,
                apps.get_app_config(model._meta.app_label).verbose_name,
            )
        }
    assert not sorted(pair for pair in named if not JAPANESE.search(pair[1]))
