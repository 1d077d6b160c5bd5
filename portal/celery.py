"""The Celery application. Tasks carry row ids only and call services; beat sweeps are the real driver."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings.local")

app = Celery("musubi")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
