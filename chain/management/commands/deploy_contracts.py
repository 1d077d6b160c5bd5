"""Deploy the platform's contracts. Safe to run twice, and after a crash half-way."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from chain.models import Contract
from chain.profiles import PROFILES
from chain.services.deployment import deploy_platform
from portal.exceptions import DomainError


class Command(BaseCommand):
    help = "Deploy AccessManager and InvestorSBT, make the signers and wire the roles; does only what is missing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--profile", choices=sorted(PROFILES), default=settings.CHAIN_PROFILE, help="delays and limits"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            deploy_platform(profile=options["profile"])
        except DomainError as error:
            raise CommandError(f"{error.message} [{error.code}]") from error
        for contract in Contract.objects.filter(chain_id=settings.CHAIN_ID).order_by("pk"):
            self.stdout.write(f"{contract.kind:14} {contract.address} (block {contract.deployed_block})")
