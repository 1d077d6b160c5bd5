"""Who may do what, how fast, and who can stop it, read from the chain. Exit status 1 on any single key with lasting power."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import asdict
from datetime import datetime
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from chain.governance.roles import RoleReport, RoleRow, role_report
from chain.models import Contract
from portal.exceptions import DomainError


class Command(BaseCommand):
    help = "Say who may do what on the chain, how fast, and who can stop it; exit status 1 on a key with lasting power."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="the whole report as JSON on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            report = role_report()
        except DomainError as error:
            raise CommandError(f"{error.message} [{error.code}]") from error
        except Contract.DoesNotExist as error:
            raise CommandError("Nothing is deployed. Run manage.py deploy_contracts first.") from error
        if options["json"]:
            content = asdict(report) | {"is_clean": report.is_clean}
            for setting in content["settings"]:
                # JSON's readers hold 53 bits; amounts in wei have more, and go as decimal strings.
                setting["value"] = setting["value"] if setting["value"] < 2**53 else str(setting["value"])
            self.stdout.write(orjson.dumps(content, option=orjson.OPT_INDENT_2, default=_plain).decode())
        else:
            self._print(report)
        if not report.is_clean:
            raise SystemExit(1)

    def _print(self, report: RoleReport) -> None:
        self.stdout.write(f"AccessManager {report.manager} at block {report.block}; deployed by {report.deployer}\n\n")
        for row in report.roles:
            self._print_role(report, row)
        for safe in report.safes:
            self.stdout.write(f"Safe {safe.address}: {safe.threshold} of {len(safe.owners)} must sign")
            self.stdout.write("".join(f"  owner {owner}\n" for owner in safe.owners))
        for timelock in report.timelocks:
            self.stdout.write(f"Timelock {timelock.address}: everything waits {timelock.delay} s")
            for role, members in timelock.members.items():
                self.stdout.write(f"  {role}: {', '.join(members) or 'nobody'}")
        self.stdout.write("\nIn force now")
        for setting in report.settings:
            self.stdout.write(f"  {setting.contract} {setting.name} = {setting.value}")
        self.stdout.write(f"\nAnnounced and open: {len(report.schedules)}")
        for schedule in report.schedules:
            self.stdout.write(f"  {schedule.where} {schedule.operation} to {schedule.target} from {schedule.ready_at}")
        if report.is_clean:
            self.stdout.write("\nROLES clean: no single key has lasting power")
            return
        self.stdout.write("")
        for weakness in report.weaknesses:
            self.stdout.write(f"WEAK {weakness.code}: {weakness.subject}: {weakness.detail}")
        self.stdout.write(f"ROLES weaknesses={len(report.weaknesses)}")

    def _print_role(self, report: RoleReport, row: RoleRow) -> None:
        guardian = report.role(row.guardian_role)
        self.stdout.write(f"{row.name} ({row.role}), stopped by {guardian.name if guardian else row.guardian_role}")
        for holder in row.holders:
            wait = f"after {holder.delay} s" if holder.delay else "at once"
            self.stdout.write(f"  held by {holder.kind} {holder.address}, acts {wait}")
        if not row.holders:
            self.stdout.write("  held by nobody")
        for function in row.functions:
            self.stdout.write(f"  may call {function}")
        self.stdout.write("")


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)
