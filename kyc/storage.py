"""Evidence at rest: checked by content, encrypted under a key of its own, written under a random name.

Envelope encryption: every file has a random 256-bit data key (AES-GCM); the data key is wrapped by the newest key of
`settings.EVIDENCE_KEYS` (Fernet). Rotation re-wraps the small keys and leaves the files. Files lie under
`PRIVATE_ROOT`, which no URL reaches.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import secrets
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import filetype
import pypdf
from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _
from PIL import Image
from pypdf.errors import PyPdfError

from kyc.exceptions import EvidenceUnreadable, FileRefused
from portal.registry import Registry

ACCEPTED: Final = {"image/jpeg": "JPEG", "image/png": "PNG", "application/pdf": "PDF"}
#: Rows of the other apps whose files are sealed here (`wrapped_key`, `key_id`): their keys are rotated with ours.
sealed_rows: Registry[Callable[[], QuerySet[Any]]] = Registry()
_MAX_PIXELS: Final = 60_000_000  # a page scanned at 600 dpi is 35 million; more is a decompression bomb
_NONCE_BYTES: Final = 12


@dataclass(frozen=True, slots=True)
class Inspected:
    """A file that passed every check."""

    content: bytes
    content_type: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Sealed:
    """Where an encrypted file lies and how to open it."""

    storage_name: str
    wrapped_key: bytes
    key_id: str


def inspect(chunks: Iterable[bytes], *, size: int) -> Inspected:
    """Check an upload by what it contains; its name and declared type say nothing.

    Raises FileRefused with code kyc.evidence.empty, .too_large, .wrong_type, .damaged or .protected.
    """
    if size > settings.EVIDENCE_MAX_BYTES:
        raise _too_large()
    content = _read(chunks)
    if not content:
        raise FileRefused(_("The file is empty. Choose another file."), code="kyc.evidence.empty")
    kind = filetype.guess(content)  # type: ignore[no-untyped-call]
    content_type = kind.mime if kind else ""
    if content_type not in ACCEPTED:
        raise FileRefused(
            _("This is not a JPEG, PNG or PDF file, whatever its name says. Nothing was stored. Choose another file."),
            code="kyc.evidence.wrong_type",
        )
    if content_type == "application/pdf":
        _check_pdf(content)
    else:
        _check_image(content, ACCEPTED[content_type])
    return Inspected(content, content_type, hashlib.sha256(content).hexdigest())


def _read(chunks: Iterable[bytes]) -> bytes:
    # The declared size is the sender's word; the bytes themselves are counted.
    content = bytearray()
    for chunk in chunks:
        content += chunk
        if len(content) > settings.EVIDENCE_MAX_BYTES:
            raise _too_large()
    return bytes(content)


def _too_large() -> FileRefused:
    return FileRefused(
        _("The file is larger than %(megabytes)d MB. Nothing was stored. Choose a smaller file.")
        % {"megabytes": settings.EVIDENCE_MAX_BYTES // (1024 * 1024)},
        code="kyc.evidence.too_large",
    )


def _damaged() -> FileRefused:
    return FileRefused(
        _("The file is damaged and cannot be opened. Nothing was stored. Save it again, or choose another file."),
        code="kyc.evidence.damaged",
    )


def _check_image(content: bytes, expected: str) -> None:
    """The whole picture decodes and is what its first bytes claim."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=[expected]) as image:
                if image.width * image.height > _MAX_PIXELS:
                    raise _damaged()
                image.verify()
            with Image.open(io.BytesIO(content), formats=[expected]) as image:
                image.load()
    except FileRefused:
        raise
    except Exception as error:  # Pillow raises many kinds on hostile input; every one means the same here
        raise _damaged() from error


def _check_pdf(content: bytes) -> None:
    """The document parses, has a page and is not locked; a program with a PDF's first bytes does not pass."""
    if b"%%EOF" not in content[-2048:]:
        raise _damaged()
    try:
        reader = pypdf.PdfReader(io.BytesIO(content), strict=False)
        if reader.is_encrypted:
            raise FileRefused(
                _("The PDF is protected with a password. Nothing was stored. Save it without one."),
                code="kyc.evidence.protected",
            )
        if len(reader.pages) == 0:
            raise _damaged()
        reader.pages[0].mediabox.upper_right  # noqa: B018 (reading it parses the page)
    except FileRefused:
        raise
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged() from error


def seal(content: bytes) -> Sealed:
    """Encrypt and write; on return the bytes are on disk under a random name."""
    data_key = AESGCM.generate_key(bit_length=256)
    nonce = secrets.token_bytes(_NONCE_BYTES)
    storage_name = secrets.token_hex(16)
    # The name is authenticated: a file moved to another row's name does not open.
    body = nonce + AESGCM(data_key).encrypt(nonce, content, storage_name.encode())
    path = _path(storage_name)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    return Sealed(storage_name, Fernet(_keys()[0]).encrypt(data_key), newest_key_id())


def unseal(*, storage_name: str, wrapped_key: bytes, sha256: str) -> bytes:
    """The original bytes. Raises EvidenceUnreadable if a key is missing or anything was changed."""
    try:
        data_key = MultiFernet([Fernet(key) for key in _keys()]).decrypt(bytes(wrapped_key))
        body = _path(storage_name).read_bytes()
        content = AESGCM(data_key).decrypt(body[:_NONCE_BYTES], body[_NONCE_BYTES:], storage_name.encode())
    except (InvalidToken, InvalidTag, OSError) as error:
        raise _unreadable() from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise _unreadable()
    return content


def _unreadable() -> EvidenceUnreadable:
    return EvidenceUnreadable(
        _("This document cannot be opened: it was changed, or its key is missing. An administrator has to look."),
        code="kyc.evidence.unreadable",
    )


def rewrap(wrapped_key: bytes) -> bytes:
    """The same data key under the newest key; the file itself stays as it is."""
    return MultiFernet([Fernet(key) for key in _keys()]).rotate(bytes(wrapped_key))


def discard(storage_name: str) -> None:
    """Remove the bytes; absent ones are no error."""
    with contextlib.suppress(FileNotFoundError):
        _path(storage_name).unlink()


def newest_key_id() -> str:
    """Names the newest key without revealing it."""
    return hashlib.sha256(b"evidence-key:" + _keys()[0]).hexdigest()[:16]


def _keys() -> list[bytes]:
    keys = [key.encode() if isinstance(key, str) else key for key in settings.EVIDENCE_KEYS]
    if not keys:
        raise ImproperlyConfigured("EVIDENCE_KEYS is empty: evidence is never written unencrypted")
    return keys


def _path(storage_name: str) -> Path:
    return Path(settings.PRIVATE_ROOT) / "evidence" / storage_name[:2] / storage_name
