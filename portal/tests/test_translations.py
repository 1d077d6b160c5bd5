"""The catalogues hold what Django looks up at run time, and the check misses nothing."""

from __future__ import annotations

import gettext
import io

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.core.management import CommandError, call_command
from django.template import engines
from django.utils import translation

from portal import catalogues

TEMPLATE = """{% load i18n %}
{% translate "Plain words" %}|{% translate 'With 100% in it' %}|{% blocktranslate trimmed with n=number %}
  Trimmed {{ n }}
  over lines
{% endblocktranslate %}|{% blocktranslate count n=number %}{{ n }} thing{% plural %}{{ n }} things{% endblocktranslate %}|
{% translate "units" context "counter" %}|{{ _("In a variable") }}|<c-x title="{% translate 'In an element' %}" />"""
JAPANESE = {
    "Plain words": "普通の言葉",
    "With 100%% in it": "100%%入り",
    "Trimmed %(n)s over lines": "整えた%(n)s",
    "%(n)s thing": "%(n)s個",
    "units": "口",
    "In a variable": "変数の中",
    "In an element": "部品の中",
}


def test_every_form_of_a_templates_message_is_found_as_django_looks_it_up(monkeypatch):
    found = list(catalogues.template_messages(TEMPLATE, "t.html"))
    identities = [item.message if isinstance(item.message, str) else item.message[0] for item in found]
    assert identities == list(JAPANESE)
    assert [item.context for item in found if item.context] == ["counter"]


def test_what_is_compiled_is_what_django_shows(tmp_path, settings):
    catalogue = Catalog(locale="ja", domain="django", fuzzy=False)
    for item in catalogues.template_messages(TEMPLATE, "t.html"):
        key = item.message if isinstance(item.message, str) else item.message[0]
        message = catalogue.add(item.message, context=item.context)
        message.string = JAPANESE[key] if isinstance(item.message, str) else (JAPANESE[key],)
    folder = tmp_path / "ja" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    with (folder / "django.mo").open("wb") as file:
        write_mo(file, catalogue)
    settings.LOCALE_PATHS = [tmp_path]
    _forget_catalogues()
    with translation.override("ja"):
        shown = engines["django"].from_string(TEMPLATE.replace("<c-x", "<p")).render({"number": 3})
    _forget_catalogues()
    for words in ["普通の言葉", "100%入り", "整えた3", "3個", "口", "変数の中", "部品の中"]:
        assert words in shown


def _forget_catalogues() -> None:
    from django.utils.translation import trans_real

    trans_real._translations = {}  # type: ignore[attr-defined]
    gettext._translations = {}  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", [catalogues.SHARED, *catalogues.APPS])
def test_our_catalogues_are_complete(name):
    assert catalogues.problems(name) == []


def test_the_same_words_have_the_same_japanese_in_all_our_catalogues():
    assert catalogues.clashes() == []


@pytest.mark.parametrize(
    ("context", "named"),
    [(None, "different Japanese for 'Save': "), ("file", "different Japanese for 'Save' (file): ")],
)
def test_japanese_that_another_catalogue_would_hide_is_named(context, named, tmp_path, monkeypatch):
    _write_catalogues(
        tmp_path, monkeypatch, shared=(context, "保存する"), kyc=(context, "保管する"), chain=(context, "保管する")
    )
    clash = f"{named}'保存する' in shared, '保管する' in chain and kyc"
    assert catalogues.clashes() == [clash]
    assert catalogues.clashes(["kyc"]) == [clash]
    assert catalogues.clashes(["lending"]) == [], "only the catalogues that were asked about"
    errors = io.StringIO()
    with pytest.raises(CommandError):
        call_command("translations", "check", stderr=errors)
    assert clash in errors.getvalue()


def test_a_context_tells_two_meanings_apart(tmp_path, monkeypatch):
    _write_catalogues(tmp_path, monkeypatch, shared=(None, "保存する"), kyc=("file", "保管する"))
    assert catalogues.clashes() == []


def _write_catalogues(tmp_path, monkeypatch, **japanese: tuple[str | None, str]) -> None:
    """Catalogues that hold nothing but “Save”, with the context and translation given for each."""
    for name, (context, string) in japanese.items():
        catalogue = Catalog(locale="ja", domain="django", fuzzy=False)
        catalogue.add("Save", string, context=context)
        with (tmp_path / name).open("wb") as file:
            write_po(file, catalogue)
    monkeypatch.setattr(catalogues, "catalogue_path", lambda name: tmp_path / name)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda text: text.replace('msgstr "保存する"', 'msgstr ""'), "not translated: 'Save'"),
        (lambda text: text.replace('msgid "Save"', '#, fuzzy\nmsgid "Save"'), "marked as unsure: 'Save'"),
        (lambda text: text.replace('msgid "Save"', 'msgid "Store"'), "no longer used: 'Store'"),
        (lambda text: text.replace('msgid "Save"', 'msgid "Store"'), "not in the catalogue: 'Save'"),
        (lambda text: text.replace("%(name)sさん", "さん"), "placeholders differ: 'Welcome, %(name)s'"),
    ],
)
def test_the_check_names_what_is_wrong(change, problem, tmp_path, monkeypatch):
    broken = tmp_path / "django.po"
    broken.write_text(change(catalogues.catalogue_path("portal").read_text()))
    monkeypatch.setattr(catalogues, "catalogue_path", lambda name: broken)
    assert f"portal: {problem}" in catalogues.problems("portal")
    with pytest.raises(CommandError):
        call_command("translations", "check", "portal", stderr=io.StringIO())


def test_bringing_up_to_date_keeps_translations_and_changes_nothing_twice(tmp_path, monkeypatch):
    original = catalogues.catalogue_path("portal").read_bytes()
    copy = tmp_path / "django.po"
    copy.write_bytes(original)
    monkeypatch.setattr(catalogues, "catalogue_path", lambda name: copy)
    assert catalogues.update("portal") == (0, 0)
    assert copy.read_bytes() == original


def test_an_unknown_catalogue_is_named():
    with pytest.raises(CommandError, match="no catalogue 'nothing'"):
        call_command("translations", "check", "nothing")


def test_the_compiled_file_holds_the_translations(tmp_path, monkeypatch):
    copy = tmp_path / "django.po"
    copy.write_bytes(catalogues.catalogue_path("portal").read_bytes())
    monkeypatch.setattr(catalogues, "catalogue_path", lambda name: copy)
    target = catalogues.compile_catalogue("portal")
    assert target is not None
    assert target == tmp_path / "django.mo"
    with target.open("rb") as file:
        assert gettext.GNUTranslations(file).gettext("Save") == "保存する"
    with copy.open("rb") as file:
        message = read_po(file).get("Save")
    assert message is not None
    assert message.string == "保存する"
