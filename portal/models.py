"""People who sign in, and the hash-chained log of everything that happened."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django.contrib.auth.base_user import BaseUserManager
from django.contrib.auth.models import AbstractUser, Group
from django.contrib.postgres.expressions import ArraySubquery
from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from portal.compiled import Instances


class Role(models.TextChoices):
    """What a person works as. Stored as the name of a Django group; an investor is in none."""

    KYC_OFFICER = "kyc_officer", _("KYC officer")
    ISSUER = "issuer", _("Issuer")
    LOAN_OFFICER = "loan_officer", _("Loan officer")
    ADMINISTRATOR = "administrator", _("Administrator")
    AUDITOR = "auditor", _("Auditor")


class Theme(models.TextChoices):
    """The colours of the pages, as a person chose them."""

    SYSTEM = "system", _("As on this device")
    LIGHT = "light", _("Light")
    DARK = "dark", _("Dark")


class UserManager(BaseUserManager["User"]):
    """E-mail is the user name; it is kept in lower case, so one address is one person."""

    use_in_migrations = True

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email=(username or "").lower())

    def with_standing(self) -> models.QuerySet[User]:
        """People with their roles (`role_names`) and whether they have a second factor (`second_factor`), in one query.

        Recovery codes alone are no second factor.
        """
        from allauth.mfa.models import Authenticator  # it needs this module's `User` first

        kinds = [Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN]
        factors = Authenticator.objects.filter(user=models.OuterRef("pk"), type__in=kinds)
        groups = Group.objects.filter(user=models.OuterRef("pk"))
        return self.annotate(role_names=ArraySubquery(groups.values("name")), second_factor=models.Exists(factors))

    def signed_in(self, pk: int) -> User | None:
        """The person of that key as `with_standing` reads them, for every request: its SQL is written once per process."""
        return next(iter(_signed_in(pk)), None)

    def create_user(self, email: str, password: str | None = None, **extra: Any) -> User:
        if not email:
            raise ValueError("an e-mail address is required")
        user = self.model(email=self.normalize_email(email).lower(), **extra)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **extra: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **extra)


class User(AbstractUser):
    """A person who signs in. Investors have no group; staff have one `Role` each."""

    username = None  # type: ignore[assignment]  # AbstractUser declares it; e-mail replaces it
    first_name = None  # type: ignore[assignment]  # names belong to the KYC application
    last_name = None  # type: ignore[assignment]
    email = models.EmailField(_("e-mail address"), unique=True)
    display_name = models.CharField(_("name shown"), max_length=120, blank=True)
    language = models.CharField(
        _("language"), max_length=5, choices=[("ja", "日本語"), ("en", "English")], default="ja"
    )
    theme = models.CharField(
        _("colours"), max_length=6, choices=Theme.choices, blank=True, help_text="empty: never chosen"
    )

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects = UserManager()  # type: ignore[assignment,misc]

    class Meta:
        verbose_name = _("person")
        verbose_name_plural = _("people")
        constraints = [
            models.CheckConstraint(condition=models.Q(email=Lower("email")), name="portal_user_email_lower"),
        ]

    def __str__(self) -> str:
        return self.display_name or self.email

    def get_full_name(self) -> str:
        return str(self)

    def get_short_name(self) -> str:
        return str(self)

    @property
    def roles(self) -> frozenset[str]:
        """Names of this person's staff roles; cached for the life of the instance."""
        if not hasattr(self, "_roles"):
            read = self.__dict__.get("role_names")  # `UserManager.with_standing` has asked already
            self._roles = frozenset(self.groups.values_list("name", flat=True) if read is None else read)
        return self._roles

    def has_role(self, role: Role) -> bool:
        return role.value in self.roles

    @property
    def works_here(self) -> bool:
        """Staff of any kind; they need a second factor before any page opens."""
        return self.is_staff or self.is_superuser or bool(self.roles)


_signed_in: Final = Instances(lambda pk: User.objects.with_standing().filter(pk=pk))


class AuditEntry(models.Model):
    """One business event. Rows are only ever added, each sealed with the hash of the one before.

    Written by `portal.audit.record` alone, in the transaction of the change it describes. `digest` is SHA-256 over
    the previous digest and this row's canonical JSON, so a changed or removed row breaks every later one.
    """

    sequence = models.BigIntegerField(unique=True)
    at = models.DateTimeField()
    actor = models.ForeignKey(User, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    actor_label = models.CharField(max_length=254, help_text="e-mail, or the name of the task that acted")
    action = models.CharField(max_length=80, help_text="dotted code, e.g. kyc.application.approved")
    subject_type = models.CharField(max_length=60, help_text="e.g. kyc.application")
    subject_id = models.CharField(max_length=80)
    from_state = models.CharField(max_length=40, blank=True)
    to_state = models.CharField(max_length=40, blank=True)
    reason = models.TextField(blank=True)
    data = models.JSONField(default=dict, blank=True)
    previous_digest = models.CharField(max_length=64)
    digest = models.CharField(max_length=64, unique=True)

    class Meta:
        ordering = ["-sequence"]
        indexes = [
            models.Index(fields=["subject_type", "subject_id", "-sequence"], name="portal_audit_subject"),
            models.Index(fields=["action", "-sequence"], name="portal_audit_action"),
            models.Index(fields=["actor", "-sequence"], name="portal_audit_actor"),
        ]
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit entries")

    def __str__(self) -> str:
        return f"#{self.sequence} {self.action} {self.subject_type}:{self.subject_id}"


class IdempotencyKey(models.Model):
    """One form, sent once. The key is made with the form; a repeat gets the first answer, another body gets 409.

    `fingerprint` is SHA-256 over method, path and body, so a key is worth nothing for another form or account.
    `location` is where the first answer led; empty while it is still being made.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=64)
    fingerprint = models.CharField(max_length=64)
    location = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="portal_idempotency_user_key")]
        indexes = [models.Index(fields=["created_at"], name="portal_idempotency_age")]
        verbose_name = _("key of a form sent once")
        verbose_name_plural = _("keys of forms sent once")

    def __str__(self) -> str:
        return f"{self.key} → {self.location or '…'}"


class UsedCode(models.Model):
    """A code of an authenticator app that was accepted, kept for as long as it could be shown again (RFC 6238, 5.2).

    In the database because the cache may be away, and a guard that is away is none.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    code = models.CharField(max_length=16, help_text="digits only")
    used_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "code"], name="portal_used_code_once")]
        verbose_name = _("used code")
        verbose_name_plural = _("used codes")

    def __str__(self) -> str:
        return f"{self.user_id} {self.used_at:%H:%M:%S}"


from portal.notices.models import Notice, NoticePreference  # noqa: E402, F401 (of this app)
