"""Lists in the published format, names that must meet, hits that two people decide."""

from __future__ import annotations

import random
import shutil
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyc import services
from kyc.exceptions import ListUnreadable
from kyc.management.commands.load_sanctions_list import SAMPLE
from kyc.models import Application, DatedRule, SanctionsEntry, SanctionsList, ScreeningHit, ScreeningRun
from kyc.names import fold, normalise, tokens
from kyc.screening import ofac
from kyc.screening.match import NameIndex, Query, birth_support, final_score
from kyc.tests.conftest import fill_in, submit

# --- the published format -------------------------------------------------------------------------------------


def test_it_reads_names_aliases_addresses_and_remarks_joined_on_the_entity_number():
    entity = {item.number: item for item in ofac.read(SAMPLE)}[990101]
    assert [name.name for name in entity.names] == ["KUROSAWA, Kenji", "KUROSAWA, Kenzi", '"KENJI THE SAMPLE"']
    assert entity.birth_dates == ["1968-03-14"]
    assert entity.kind == "individual"
    assert "Japan" in entity.countries
    assert entity.wallets == [("XBT", "1SampLeAddressDoNotUse1111111114T1aN")]


def test_nulls_are_nothing_and_the_last_byte_is_no_entry():
    entities = {item.number: item for item in ofac.read(SAMPLE)}
    assert entities[990201].kind == ""
    assert entities[990201].title == ""
    assert len(entities) == 12


def test_it_reads_every_form_of_a_date_of_birth():
    entities = {item.number: item for item in ofac.read(SAMPLE)}
    assert entities[990102].birth_dates == ["1975-02", "1976"]
    assert entities[990104].birth_dates == ["1970"]
    assert entities[990105].birth_dates == ["1958", "1959", "1960"]


def test_it_reads_all_digital_currency_addresses_of_an_entry():
    entities = {item.number: item for item in ofac.read(SAMPLE)}
    assert [currency for currency, _ in entities[990106].wallets] == ["ETH", "XBT"]
    assert [currency for currency, _ in entities[990203].wallets] == ["ETH", "USDT"]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SAMPLE, tmp_path / "list"))


def test_remarks_that_did_not_fit_come_from_the_comments_file(copy):
    (copy / "sdn_comments.csv").write_text(
        '990102,"Digital Currency Address - ETH 0x00000000000000000000000000000000000dead3;"\r\n'
    )
    entity = {item.number: item for item in ofac.read(copy)}[990102]
    assert entity.wallets == [("ETH", "0x00000000000000000000000000000000000dead3")]


def test_letters_beyond_ascii_are_read_in_either_encoding(copy):
    text = (copy / "sdn.csv").read_bytes().decode()
    (copy / "sdn.csv").write_bytes(text.encode("latin-1"))
    assert {item.number: item for item in ofac.read(copy)}[990105].name == "O'SAMPLE, Séan"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda d: (d / "alt.csv").unlink(), "kyc.list.file_missing"),
        (lambda d: (d / "sdn.csv").write_text("<html>Not found</html>"), "kyc.list.wrong_columns"),
        (lambda d: (d / "add.csv").write_text('x,1,"a","b","c",-0- \r\n'), "kyc.list.entity_number"),
        (lambda d: (d / "sdn.csv").write_text("\x1a"), "kyc.list.empty"),
    ],
)
def test_a_spoilt_set_changes_nothing(copy, sample_list, spoil, code):
    spoil(copy)
    with pytest.raises(ListUnreadable) as caught:
        services.load_sanctions_list(kind="ofac", directory=copy, name="new", published_on=date(2026, 11, 20))
    assert caught.value.code == code
    assert SanctionsList.objects.get(is_current=True) == sample_list


@pytest.mark.django_db
def test_the_same_files_are_loaded_once(sample_list):
    again = services.load_sanctions_list(kind="ofac", directory=SAMPLE, name="again", published_on=date(2026, 11, 3))
    assert again == sample_list
    assert SanctionsEntry.objects.count() == 12


# --- names ---------------------------------------------------------------------------------------------------------


def same(one: str, other: str) -> bool:
    return sorted(map(fold, tokens(normalise(one)))) == sorted(map(fold, tokens(normalise(other))))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ヴァシリエフ", "バシリエフ"),
        ("オオノ ユウジ", "オーノ ユージ"),
        ("おおの ゆうじ", "OHNO, Yuuji"),
        ("ｵｵﾉ ﾕｳｼﾞ", "ONO, Yuji"),
        ("ジョン・スミス", "ジョン スミス"),
        ("シンイチ", "SINITI"),
        ("シマヅ フミオ", "SHIMAZU Humio"),
        ("ティムール", "TIMURU"),
        ("Müller-Lüdenscheidt, José", "JOSE MULLER LUDENSCHEIDT"),
        ("株式会社ムスビ", "MUSUBI K.K."),
        ("Ｔａｒｏ　ＹＡＭＡＤＡ", "yamada taro"),
        ("SHIMBASHI", "Shinbashi"),
        ("O'Brien", "OBRIEN"),
    ],
)
def test_two_writings_of_one_name_meet(one, other):
    assert same(one, other)


@pytest.mark.parametrize(("one", "other"), [("YAMADA Taro", "YAMADA Jiro"), ("オノ", "オカノ"), ("Kim", "Lim")])
def test_different_names_stay_apart(one, other):
    assert not same(one, other)


@given(st.text(max_size=40))
def test_normalising_twice_changes_nothing(text):
    once = normalise(text)
    assert normalise(once) == once
    assert once == once.strip()


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=20))
def test_folding_ends_in_something(text):
    assert fold(text)


# --- scores ----------------------------------------------------------------------------------------------------------

INDEX = NameIndex(
    (number, name.name, normalise(name.name))
    for number, entity in enumerate(ofac.read(SAMPLE))
    for name in entity.names
)


def score(name: str, birth: date | None = None, listed: list[str] | None = None) -> int:
    query = Query("applicant", (name,), birth)
    scores = [
        final_score(candidate, query, entry_kind="individual", birth_dates=listed or [])[0]
        for candidate in INDEX.candidates(query, floor=78)
    ]
    return max(scores, default=0)


@pytest.mark.parametrize(
    "name",
    ["KUROSAWA Kenji", "Kenji Kurosawa", "クロサワ ケンジ", "クロサワケンジ", "Kurosawa  KENJI", "くろさわ　けんじ"],
)
def test_the_order_and_script_of_a_name_do_not_matter(name):
    assert score(name) >= 95


def test_a_missing_middle_name_still_hits_and_a_common_surname_alone_does_not():
    assert score("Bogdan Vasilyev") >= 86
    assert score("Vasilyev Ivan Petrovich") < 86
    assert score("Yamada Kenji") < 86
    assert score("Aoki Hanako") == 0


def test_a_date_of_birth_supports_or_speaks_against():
    assert birth_support(date(1968, 3, 14), ["1968-03-14"]) == ("exact", 6)
    assert birth_support(date(1969, 3, 14), ["1968"]) == ("year", 3)
    assert birth_support(date(1990, 1, 1), ["1968", "1970"])[0] == "other"
    assert birth_support(None, ["1968"]) == ("unknown", 0)
    near = score("Kenji Kurosava", date(1968, 3, 14), ["1968-03-14"])
    assert near > score("Kenji Kurosava", date(1990, 1, 1), ["1968-03-14"])


@given(st.permutations(["kurosawa", "kenji", "ichiro"]))
def test_the_score_does_not_depend_on_the_order_of_our_parts(parts):
    assert score(" ".join(parts)) == score("kurosawa kenji ichiro")


def test_the_explanation_names_the_parts_that_matched():
    query = Query("applicant", ("Kurosawa Kenji Ichiro",), date(1968, 3, 14))
    (candidate,) = INDEX.candidates(query, floor=78)
    total, why = final_score(candidate, query, entry_kind="individual", birth_dates=["1968-03-14"])
    assert {pair["ours"] for pair in why["pairs"]} == {"kurosawa", "kenzi"}
    assert why["unmatched_ours"] == ["itiro"]
    assert why["birth_date"] == "exact"
    assert 86 <= total <= 100


# --- runs and dispositions -----------------------------------------------------------------------------------------------

KUROSAWA = {
    "family_name": "黒沢",
    "given_name": "健二",
    "family_kana": "クロサワ",
    "given_kana": "ケンジ",
    "family_romaji": "KUROSAWA",
    "given_romaji": "Kenji",
}


@pytest.fixture
def namesake(investor, sample_list) -> Application:
    return submit(fill_in(investor, name=KUROSAWA))


@pytest.mark.django_db
def test_a_run_stores_which_list_it_searched(submitted, sample_list):
    run = submitted.screening_runs.get()
    assert (run.state, run.list_sha256) == (ScreeningRun.State.DONE, sample_list.sha256)
    assert (run.list_name, run.list_published_on) == (sample_list.name, sample_list.published_on)
    assert run.threshold == 86
    assert submitted.screening_ready
    assert submitted.open_hits == 0


@pytest.mark.django_db
def test_a_namesake_is_a_hit_that_stops_approval_until_two_people_decided(namesake, reviewer, second_reviewer, refused):
    assert namesake.open_hits == 1
    hit = namesake.hits.get()
    services.claim(application_id=namesake.pk, officer=reviewer)
    approve = {
        "application_id": namesake.pk,
        "officer": reviewer,
        "verdict": "approve",
        "reason": "x",
        "risk_rating": "low",
    }
    assert refused(services.decide, **approve) == "kyc.screening.undecided"
    services.propose_disposition(hit_id=hit.pk, officer=reviewer, verdict="cleared", reason="born in 1985")
    assert refused(services.decide, **approve) == "kyc.screening.undecided"
    same_officer = refused(services.decide_hit, hit_id=hit.pk, officer=reviewer, agrees=True, reason="x")
    assert same_officer == "kyc.hit.same_officer"
    services.decide_hit(hit_id=hit.pk, officer=second_reviewer, agrees=True, reason="agreed")
    services.decide(**approve)
    namesake.refresh_from_db()
    assert namesake.state == Application.State.APPROVED_FIRST


@pytest.mark.django_db
def test_a_confirmed_hit_leaves_only_rejection(namesake, reviewer, second_reviewer, refused):
    hit = namesake.hits.get()
    services.propose_disposition(hit_id=hit.pk, officer=reviewer, verdict="confirmed", reason="same birthplace")
    services.decide_hit(hit_id=hit.pk, officer=second_reviewer, agrees=True, reason="agreed")
    services.claim(application_id=namesake.pk, officer=reviewer)
    arguments = {"application_id": namesake.pk, "officer": reviewer, "reason": "x"}
    assert refused(services.decide, verdict="approve", risk_rating="low", **arguments) == "kyc.screening.confirmed"
    services.decide(verdict="reject", **arguments)
    namesake.refresh_from_db()
    assert namesake.state == Application.State.REJECTED


@pytest.mark.django_db
def test_a_second_officer_who_disagrees_opens_the_hit_again(namesake, reviewer, second_reviewer):
    hit = namesake.hits.get()
    services.propose_disposition(hit_id=hit.pk, officer=reviewer, verdict="cleared", reason="x")
    services.decide_hit(hit_id=hit.pk, officer=second_reviewer, agrees=False, reason="not enough")
    hit.refresh_from_db()
    namesake.refresh_from_db()
    assert (hit.state, namesake.open_hits) == (ScreeningHit.State.OPEN, 1)


@pytest.mark.django_db
def test_approving_while_the_screening_waits_is_impossible(draft, sample_list, reviewer, refused):
    services.submit_application(application_id=draft.pk, user=draft.user, declares=True)
    services.claim(application_id=draft.pk, officer=reviewer)
    arguments = {"application_id": draft.pk, "officer": reviewer, "verdict": "approve", "reason": "x"}
    assert refused(services.decide, risk_rating="low", **arguments) == "kyc.screening.pending"


@pytest.mark.django_db
def test_without_any_list_nobody_is_approved(draft, reviewer, refused):
    submit(draft)
    services.claim(application_id=draft.pk, officer=reviewer)
    arguments = {"application_id": draft.pk, "officer": reviewer, "verdict": "approve", "reason": "x"}
    assert refused(services.decide, risk_rating="low", **arguments) == "kyc.screening.pending"


@pytest.mark.django_db
def test_a_failed_run_says_why_and_can_be_run_again(draft, sample_list, reviewer):
    rule = DatedRule.objects.get(subject="screening")
    DatedRule.objects.filter(pk=rule.pk).delete()
    submit(draft)
    run = draft.screening_runs.get()
    assert run.state == ScreeningRun.State.FAILED
    assert "rule" in run.error
    rule.pk = None
    rule.save()
    services.run_again(application_id=draft.pk, officer=reviewer)
    services.run_due_screenings()
    draft.refresh_from_db()
    assert draft.screening_ready


@pytest.mark.django_db
def test_representative_and_every_beneficial_owner_are_screened(company_draft, sample_list):
    services.save_owner(
        application_id=company_draft.pk,
        user=company_draft.user,
        answers={
            "name": "黒沢 健二",
            "name_kana": "クロサワ ケンジ",
            "name_romaji": "Kenji KUROSAWA",
            "birth_date": date(1968, 3, 14),
            "nationality": "JP",
            "address": "札幌市",
            "share_bps": 3000,
        },
    )
    application = submit(company_draft)
    hit = application.hits.get()
    assert (hit.who, hit.score) == (ScreeningHit.Who.OWNER, 100)


def newer(copy: Path, extra: str = "") -> Path:
    text = (copy / "sdn.csv").read_text().replace("\x1a", "")
    (copy / "sdn.csv").write_text(
        text
        + f'990999,"{extra or "NOBODY, Special"}","individual","SAMPLE",-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- \r\n'
    )
    return copy


def load(directory: Path) -> SanctionsList:
    return services.load_sanctions_list(kind="ofac", directory=directory, name="newer", published_on=date(2026, 11, 20))


@pytest.mark.django_db
def test_a_hit_cleared_by_two_is_not_asked_again_on_the_next_list(namesake, reviewer, second_reviewer, copy):
    hit = namesake.hits.get()
    services.propose_disposition(hit_id=hit.pk, officer=reviewer, verdict="cleared", reason="x")
    services.decide_hit(hit_id=hit.pk, officer=second_reviewer, agrees=True, reason="y")
    load(newer(copy))
    services.run_due_screenings()
    namesake.refresh_from_db()
    carried = namesake.hits.exclude(pk=hit.pk).get()
    assert (carried.state, carried.carried_from) == (ScreeningHit.State.CLEARED, hit)
    assert namesake.open_hits == 0
    assert namesake.screening_ready


@pytest.mark.django_db
def test_a_hit_on_a_new_list_takes_an_approval_back(approved, copy, reviewer, second_reviewer):
    load(newer(copy, "AOKI, Hanako"))
    services.run_due_screenings()
    approved.refresh_from_db()
    assert approved.state == Application.State.IN_REVIEW
    assert approved.open_hits == 1
    assert not approved.decisions.filter(is_standing=True).exists()


def invented_names(count: int) -> list[str]:
    chance = random.Random(7)
    syllables = [
        "ka",
        "ki",
        "ku",
        "ke",
        "ko",
        "sa",
        "shi",
        "su",
        "se",
        "so",
        "ta",
        "chi",
        "tsu",
        "te",
        "to",
        "na",
        "ni",
        "mu",
        "me",
        "mo",
        "ra",
        "ri",
        "ru",
        "re",
        "ro",
        "ya",
        "yu",
        "yo",
    ]
    return [
        f"{''.join(chance.choices(syllables, k=4)).upper()}, {''.join(chance.choices(syllables, k=3)).title()}"
        for _ in range(count)
    ]


def test_the_index_finds_what_a_full_comparison_finds():
    from kyc.screening.match import compare

    names = invented_names(800)
    rows = [(number, name, normalise(name)) for number, name in enumerate(names)]
    index = NameIndex(rows)
    for name in names[:40]:
        slightly = name.replace("ko", "kou").replace("SHI", "SI")
        query = Query("applicant", (slightly,))
        parts = tuple(fold(part) for part in tokens(normalise(slightly)))
        full = {listed.entry_id for listed in index._listed if compare(slightly, parts, listed).name_score >= 86}
        assert {candidate.entry_id for candidate in index.candidates(query, floor=86)} == full
