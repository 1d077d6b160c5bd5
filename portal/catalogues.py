"""Catalogues of translations, made and compiled with Babel alone: no gettext binaries.

What a template looks up at run time is what Django's own `templatize` says, so messages are read from its output:
trimmed blocks, doubled per cent signs and plural forms match by construction.
"""

from __future__ import annotations

import ast
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_python
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.conf import settings
from django.utils.translation.template import templatize

LANGUAGE: Final = "ja"  # English is what the code is written in
SHARED: Final = "shared"
APPS: Final = ("portal", "chain", "kyc", "tokens", "lending")

# Function → where in its arguments the message, its plural and its context stand.
_PYTHON_CALLS: Final = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
    "npgettext_lazy": ((1, "c"), 2, 3),
}
_STRING = r"""u?('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_TEMPLATE_CALL: Final = re.compile(rf" (n?p?gettext|_)\({_STRING}(?:,\s*{_STRING})?(?:,\s*{_STRING})?(?:,\s*count)?\) ")
_PLACEHOLDER: Final = re.compile(r"%\((\w+)\)[sd]|\{(\w*)\}")


_HEADER: Final = f"""\
# Japanese for Musubi. Made by `manage.py translations update`; fill in the msgstr lines.
msgid ""
msgstr ""
"Language: {LANGUAGE}\\n"
"Plural-Forms: nplurals=1; plural=0;\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"

"""


@dataclass(frozen=True)
class Found:
    """One message where it is used."""

    message: str | tuple[str, str]
    context: str | None
    path: str


def catalogue_path(name: str) -> Path:
    """`locale/…` for what all pages share, `<app>/locale/…` for an app."""
    root = settings.BASE_DIR if name == SHARED else settings.BASE_DIR / name
    return Path(root) / "locale" / LANGUAGE / "LC_MESSAGES" / "django.po"


def sources_of(name: str) -> Iterator[Path]:
    """Files whose words belong to this catalogue, in a stable order."""
    templates = Path(settings.BASE_DIR) / "templates"
    folders = {app: [app, f"emails/{app}"] for app in APPS}
    folders["portal"] += ["demo", "emails/notices"]
    if name == SHARED:
        taken = [templates / folder for app in APPS for folder in folders[app]]
        for path in sorted(templates.rglob("*.*")):
            if path.suffix in {".html", ".txt"} and not any(path.is_relative_to(folder) for folder in taken):
                yield path
        return
    for path in sorted((Path(settings.BASE_DIR) / name).rglob("*.py")):
        if not {"tests", "migrations"} & set(path.parts):
            yield path
    for folder in folders[name]:
        for path in sorted((templates / folder).rglob("*.*")):
            if path.suffix in {".html", ".txt"}:
                yield path


def extract(name: str) -> Catalog:
    """A catalogue of every message now in use, without translations."""
    catalogue = Catalog(locale=LANGUAGE, domain="django", project="musubi", fuzzy=False)
    for path in sources_of(name):
        relative = path.relative_to(settings.BASE_DIR).as_posix()
        for found in _messages_in(path, relative):
            catalogue.add(found.message, locations=[(found.path, 0)], context=found.context)
    return catalogue


def _messages_in(path: Path, relative: str) -> Iterator[Found]:
    if path.suffix == ".py":
        yield from _python_messages(path, relative)
    else:
        yield from template_messages(path.read_text(encoding="utf-8"), relative)


def _python_messages(path: Path, relative: str) -> Iterator[Found]:
    source = io.BytesIO(path.read_bytes())
    for _line, function, arguments, _comments in extract_python(source, dict.fromkeys(_PYTHON_CALLS), [], {}):
        words = list(arguments) if isinstance(arguments, tuple) else [arguments]
        context = words.pop(0) if "pgettext" in (function or "") else None
        if words and isinstance(words[0], str) and words[0]:
            yield Found(_message(function or "", words), context, relative)


def _message(function: str, words: list[str]) -> str | tuple[str, str]:
    is_plural = function.startswith(("ngettext", "npgettext"))
    return (words[0], words[1]) if is_plural else words[0]


def template_messages(text: str, relative: str) -> Iterator[Found]:
    """Messages of one Django template, cotton elements included, exactly as Django looks them up."""
    for match in _TEMPLATE_CALL.finditer(templatize(text, origin=relative)):
        function, *strings = match.groups()
        words = [ast.literal_eval(string) for string in strings if string is not None]
        context = words.pop(0) if "pgettext" in function else None
        yield Found(_message(function, words), context, relative)


def read(path: Path) -> Catalog:
    """The catalogue on disk; empty when there is none."""
    if not path.exists():
        return Catalog(locale=LANGUAGE, domain="django", fuzzy=False)
    with path.open("rb") as file:
        return read_po(file, locale=LANGUAGE, domain="django")


def _key(message: Message) -> tuple[str | None, str]:
    identity = message.id if isinstance(message.id, str) else message.id[0]
    return message.context, identity


def _by_key(catalogue: Catalog) -> dict[tuple[str | None, str], Message]:
    return {_key(message): message for message in catalogue if message.id}


def update(name: str) -> tuple[int, int]:
    """Bring the catalogue on disk up to date: new messages empty, unused ones gone, nothing guessed.

    Returns how many were added and removed.
    """
    path = catalogue_path(name)
    old, new = _by_key(read(path)), extract(name)
    current = _by_key(new)
    for key, message in current.items():
        if key in old and old[key].string and not old[key].fuzzy:
            message.string = old[key].string
    if not current and not path.exists():
        return 0, 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(_HEADER.encode())  # Babel's own carries dates, which would make every update a difference
        body = io.BytesIO()
        write_po(body, new, width=0, sort_output=True, omit_header=True, include_lineno=False)
        file.write(body.getvalue().rstrip() + b"\n")
    return len(current.keys() - old.keys()), len(old.keys() - current.keys())


def compile_catalogue(name: str) -> Path | None:
    """Write the `.mo` beside the `.po`; None when there is no catalogue."""
    path = catalogue_path(name)
    if not path.exists():
        return None
    target = path.with_suffix(".mo")
    with target.open("wb") as file:
        write_mo(file, read(path))
    return target


def problems(name: str) -> list[str]:
    """What keeps a reader from full Japanese: missing, unsure or out-of-date messages, and lost placeholders."""
    on_disk, in_use = _by_key(read(catalogue_path(name))), _by_key(extract(name))
    found = [f"{name}: not in the catalogue: {key[1]!r}" for key in in_use.keys() - on_disk.keys()]
    found += [f"{name}: no longer used: {key[1]!r}" for key in on_disk.keys() - in_use.keys()]
    for key in on_disk.keys() & in_use.keys():
        message = on_disk[key]
        strings = [message.string] if isinstance(message.string, str) else list(message.string or [""])
        if not all(strings):
            found.append(f"{name}: not translated: {key[1]!r}")
        elif message.fuzzy:
            found.append(f"{name}: marked as unsure: {key[1]!r}")
        elif any(_placeholders(text) != _placeholders(_source(message)) for text in strings):
            found.append(f"{name}: placeholders differ: {key[1]!r}")
    return sorted(found)


def clashes(names: Iterable[str] = ()) -> list[str]:
    """The same words with different Japanese in two catalogues, where one of them is among the names given.

    Django merges the catalogues by these words, so only one of the translations is ever shown. Where two meanings
    need two, a context tells them apart.
    """
    japanese: dict[tuple[str | None, str, bool], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name in (SHARED, *APPS):
        for (context, identity), message in _by_key(read(catalogue_path(name))).items():
            strings = [message.string] if isinstance(message.string, str) else list(message.string or [""])
            japanese[context, identity, not isinstance(message.id, str)]["|".join(strings)].append(name)
    wanted = set(names) or {SHARED, *APPS}
    return sorted(
        f"different Japanese for {identity!r}{f' ({context})' if context else ''}: "
        + ", ".join(f"{text!r} in {' and '.join(places)}" for text, places in told.items())
        for (context, identity, _is_plural), told in japanese.items()
        if len(told) > 1 and wanted & {place for places in told.values() for place in places}
    )


def _source(message: Message) -> str:
    return message.id if isinstance(message.id, str) else message.id[1]


def _placeholders(text: str) -> set[str]:
    return {match.group(0) for match in _PLACEHOLDER.finditer(text)}
