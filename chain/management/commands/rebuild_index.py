"""Read the chain again, or only fold again what was read."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from chain.services.indexer import forget_chain, index_once
from chain.services.projections import replay_projections


class Command(BaseCommand):
    help = (
        "Fold the stored events into holdings, tokens and verification tokens again. With --from-chain, forget all that "
        "was read and read it again from our first contract on: after the chain was reset on purpose."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--from-chain", action="store_true", help="forget and read again; needs --reason")
        parser.add_argument("--reason", default="", help="kept in the audit trail")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["from_chain"]:
            count = replay_projections(chain_id=settings.CHAIN_ID)
            self.stdout.write(f"{count} events folded again")
            return
        if not options["reason"]:
            raise CommandError("say why with --reason: it is kept in the audit trail")
        forget_chain(chain_id=settings.CHAIN_ID, actor="rebuild_index", reason=options["reason"])
        blocks = 0
        while not (outcome := index_once()).is_current:
            blocks += outcome.blocks
        self.stdout.write(f"{blocks + outcome.blocks} blocks read again")
