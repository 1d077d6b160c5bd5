"""A device that makes passkeys, as Chromium itself offers for tests: a virtual authenticator that checks a finger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from playwright.sync_api import CDPSession, Page


@dataclass
class Passkeys:
    """The passkeys of one person's device, within reach of one page."""

    session: CDPSession
    authenticator: str

    @classmethod
    def within_reach_of(cls, page: Page, credentials: list[dict[str, Any]] | None = None) -> Passkeys:
        """A device of its own, or the same one again: with the passkeys that it had in another browser."""
        session = page.context.new_cdp_session(page)
        session.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }
        made = session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        device = cls(session, str(made["authenticatorId"]))
        for credential in credentials or []:
            device._ask("addCredential", credential=credential)
        return device

    def knows_the_finger(self, known: bool) -> None:
        """Whether the next check of the finger, the face or the PIN succeeds."""
        self._ask("setUserVerified", isUserVerified=known)

    @property
    def credentials(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask("getCredentials")["credentials"]
        return found

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.session.send(
            f"WebAuthn.{method}", {"authenticatorId": self.authenticator, **parameters}
        )
        return answer
