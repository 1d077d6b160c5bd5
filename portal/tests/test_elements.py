"""Every element of the architecture renders, in both languages, and keeps to the content policy."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.template import engines
from django.utils import timezone, translation
from django.utils.safestring import mark_safe
from django_cotton.compiler_regex import CottonCompiler

from portal.templatetags.musubi import badge, browser, chart_drawings, filter_fields, waited
from portal.views.styleguide import sample_context

#: Every template there is: an element that is added is asked for on the style guide.
ELEMENTS = sorted(
    path.stem.replace("_", "-") for path in (Path(settings.BASE_DIR) / "templates/elements").glob("*.html")
)
#: What the design asks for (UX.md, "Elements").
ASKED_FOR = {"amount", "rate", "date", "datetime", "address", "tx-link", "badge", "timeline", "gauge", "steps"} | {
    "summary", "table", "filters", "pager", "empty", "notice", "error-summary", "confirm", "file-drop", "copy",
    "countdown", "chart",
}  # fmt: skip
FRAMES = ["entrance", "journey", "overview", "queue", "record", "public"]


def show(source: str, **context) -> str:
    """What a page with this source shows; elements are compiled as the template loader does."""
    return engines["django"].from_string(CottonCompiler().process(source)).render(context)


def test_every_element_of_the_design_is_one_template():
    assert set(ELEMENTS) >= ASKED_FOR


@pytest.mark.parametrize("name", ELEMENTS)
def test_the_style_guide_shows_the_element(name):
    shown = (Path(settings.BASE_DIR) / "templates/portal/styleguide.html").read_text()
    assert re.search(rf"<c-{name}[\s/>]", shown)


@pytest.mark.django_db
@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_style_guide_renders_without_inline_script_or_style(client, language):
    page = client.get("/styleguide/", headers={"Accept-Language": language}).content.decode()
    assert f'<html lang="{language}">' in page
    assert "<c-" not in page
    assert not re.search(r"\sstyle=|\son\w+=|<style", page)
    assert not re.search(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)", page)


@pytest.mark.django_db
def test_figures_are_written_as_each_language_writes_them(client):
    japanese = client.get("/styleguide/", headers={"Accept-Language": "ja"}).content.decode()
    english = client.get("/styleguide/", headers={"Accept-Language": "en"}).content.decode()
    assert '1,000,000,000<span class="unit">円</span>' in japanese
    assert "¥1,000,000,000" in english
    assert "$1,234.50" in english
    assert '1,250<span class="unit">口</span>' in japanese
    assert "0.80%" in english
    assert "0x5290…9EE7" in english
    assert re.search(r"2\d\d\d年\d+月\d+日 \d\d:\d\d JST", japanese)


@pytest.mark.django_db
@pytest.mark.parametrize("frame", FRAMES)
def test_every_frame_has_its_blocks(rf, frame):
    from django.contrib.auth.models import AnonymousUser

    request = rf.get("/")
    request.user, request.session = AnonymousUser(), {}
    blocks = ["title", "heading", "content"] if frame not in {"queue", "record"} else ["title", "heading"]
    blocks += {"journey": ["progress"], "queue": ["filters", "list", "panel"]}.get(frame, [])
    blocks += ["summary", "state_first", "state", "timeline", "related"] if frame == "record" else []
    source = f'{{% extends "frames/{frame}.html" %}}' + "".join(
        f"{{% block {name} %}}[{name}]{{% endblock %}}" for name in [*blocks, "lead", "actions"]
    )
    page = engines["django"].from_string(source).render({}, request)
    for name in [*blocks, "lead", "actions"]:
        assert f"[{name}]" in page, name
    assert page.count("<h1>") == 1
    assert '<main id="main"' in page


def test_what_stands_in_a_block_is_not_called_done():
    context = sample_context()
    with translation.override("en"):
        shown = show('<c-timeline :steps="steps" />', steps=context["timeline"])
    assert "In a block, not final yet" in shown
    assert 'class="is-now" aria-current="step" data-step="final"' in shown


def test_after_a_refusal_nothing_is_still_to_come():
    context = sample_context()
    steps = [*context["refused"], context["timeline"][-1]]
    shown = show('<c-timeline :steps="steps" />', steps=steps)
    assert 'data-step="refused"' in shown
    assert 'data-step="final"' not in shown


def test_the_error_summary_leads_to_each_field_and_takes_the_focus():
    shown = show('<c-error-summary :form="form" />', form=sample_context()["sample_form"])
    assert 'href="#sample_recipient"' in shown
    assert 'href="#sample_kind_0"' in shown
    assert "autofocus" in shown


def test_a_form_without_mistakes_has_no_error_summary():
    assert "error-summary" not in show('<c-error-summary :form="form" />', form=sample_context()["blank_form"])


def test_names_typed_by_people_are_escaped():
    shown = show('<c-address :value="value" :name="name" />', value='"><script>', name="<b>x</b>")
    assert "<script>" not in shown
    assert "<b>" not in shown


@pytest.mark.parametrize("data", [[], [("a", 1)], [("a", 5), ("b", 5)], [("a", 1), ("b", 3), ("c", 2)]])
def test_a_chart_is_drawn_from_two_points_on(data):
    assert bool(chart_drawings(data)) == (len(data) >= 2)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/130.0 Safari/537.36 Edg/130.0", "Edge · Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1", "Safari · iPhone"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0", "Firefox · Linux"),
        ("curl/8.5", "curl/8.5"),
        ("", "—"),
    ],
)
def test_a_browser_is_called_by_its_name(said, shown):
    assert browser(said) == shown


@pytest.mark.parametrize("language", ["ja", "en"])
def test_filters_with_nothing_chosen_look_as_each_reader_s_own(language):
    from kyc.forms import QueueFilterForm

    with translation.override(language):
        drawn = "".join(field.as_field_group() for field in QueueFilterForm({}).visible_fields())
        assert [filter_fields(QueueFilterForm({})), filter_fields(QueueFilterForm({"after": "x"}))] == [drawn, drawn]


def test_what_one_reader_chose_is_shown_to_them_alone():
    from kyc.forms import QueueFilterForm

    chosen = filter_fields(QueueFilterForm({"search": "Tanaka", "state": "in_review"}))
    assert 'value="Tanaka"' in chosen
    assert '<option value="in_review" selected>' in chosen
    assert "Tanaka" not in filter_fields(QueueFilterForm({}))
    assert "field-bad" in filter_fields(QueueFilterForm({"state": "nonsense"}))


@pytest.mark.parametrize(
    ("minutes", "english", "japanese"),
    [
        (0, "1 minute", "1分"),
        (59, "59 minutes", "59分"),
        (60, "1 hour", "1時間"),
        (119, "119 minutes", "119分"),
        (120, "2 hours", "2時間"),
        (47 * 60 + 59, "47 hours", "47時間"),
        (48 * 60, "2 days", "2日"),
        (90 * 24 * 60 + 23 * 60, "90 days", "90日"),
    ],
)
def test_how_long_something_waited_is_told_in_one_unit(minutes, english, japanese):
    since = timezone.now() - timedelta(minutes=minutes, seconds=5)
    with translation.override("en"):
        assert waited(since) == english
    with translation.override("ja"):
        assert waited(since).replace(" ", "") == japanese


def test_a_badge_escapes_what_was_typed_even_if_the_same_characters_were_safe_before():
    assert "<b>x</b>" in badge(mark_safe("<b>x</b>"))
    assert "&lt;b&gt;x&lt;/b&gt;" in badge("<b>x</b>")
    assert "<b>x</b>" in badge(mark_safe("<b>x</b>"))
