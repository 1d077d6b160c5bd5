"""Take an existing private key into the keystore."""

from __future__ import annotations

import getpass
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from chain.services.custody import import_signer
from chain.types import SignerRole
from portal.exceptions import DomainError

_NAMES = {value for name, value in vars(SignerRole).items() if name.isupper() and isinstance(value, str)}
_ROLES = sorted(_NAMES - SignerRole.KEYLESS)


class Command(BaseCommand):
    help = "Import a private key, read from standard input (or asked for), never from the command line."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("role", choices=_ROLES)
        parser.add_argument("--label", default="")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            signer = import_signer(role=options["role"], private_key=_read_key(), label=options["label"])
        except DomainError as error:
            raise CommandError(f"{error.message} [{error.code}]") from error
        self.stdout.write(f"{signer.role} {signer.address}, next nonce {signer.next_nonce}")


def _read_key() -> bytes:
    """32 bytes from a line of hex. An argument would stand in the process list and the shell's history."""
    text = getpass.getpass("Private key (hex): ") if sys.stdin.isatty() else sys.stdin.readline()
    try:
        key = bytes.fromhex(text.strip().removeprefix("0x"))
    except ValueError:
        key = b""
    if len(key) != 32:
        # The text itself must not be repeated: it may be most of a key.
        raise CommandError("A private key is 64 hexadecimal digits.")
    return key
