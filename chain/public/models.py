"""The last reading of who may do what, kept so that the public pages need no node."""

from __future__ import annotations

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils.translation import gettext_lazy as _


class PublicReading(models.Model):
    """What the chain answered at a final block. One row per chain; a reading that fails leaves the last one standing."""

    chain_id = models.BigIntegerField(unique=True)
    block_number = models.BigIntegerField(help_text="final when it was read: nothing of it can be undone")
    block_at = models.DateTimeField(help_text="time of that block")
    read_at = models.DateTimeField()
    roles = models.JSONField(encoder=DjangoJSONEncoder, help_text="chain.governance.roles.RoleReport")
    codes = models.JSONField(encoder=DjangoJSONEncoder, help_text="chain.public.code.CodeCheck of every contract")
    documents = models.JSONField(encoder=DjangoJSONEncoder, help_text="by security: name and SHA-256 of each document")

    class Meta:
        verbose_name = _("public reading")
        verbose_name_plural = _("public readings")

    def __str__(self) -> str:
        return f"chain {self.chain_id} at block {self.block_number}"
