"""The sample referrals reach every case that the product tells apart, and stay the same from run to run."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hunter_pipeline.domains.normalize import DomainDecision, SkipReason, decide_domain
from hunter_pipeline.partner_center.referral import Referral, UnreadableReferral, needs_detail, parse_referral
from hunter_pipeline.sandbox import samples
from hunter_pipeline.sandbox.referral_store import ReferralStore
from hunter_pipeline.sandbox.sandbox import FIRST_START, Sandbox

EXAMPLE_IDS = {
    "c5fbb3b6-be74-4795-9fb5-4324c73fed37": "2020-10-30T21:03:00.0000000Z",
    "61c65491-2f2c-461a-84b4-3654499bc1d9": None,
    "00000000-0000-0000-0000-000000000001": "2022-02-24T21:12:46.1743218Z",
    "5a4db0c5-0000-4000-8000-0000000000d1": "2020-09-30T08:00:00.0000000Z",
}


@pytest.fixture(scope="module")
def payloads() -> list[dict[str, object]]:
    return [json.loads(sample.text) for sample in samples.load_samples(samples.as_of())]


@pytest.fixture(scope="module")
def readable(payloads: list[dict[str, object]]) -> list[tuple[Referral, DomainDecision]]:
    found = []
    for payload in payloads:
        try:
            referral = parse_referral(payload)
        except UnreadableReferral:
            continue
        found.append((referral, decide_domain(referral.websites, referral.emails)))
    return found


def test_there_are_enough_samples_and_no_id_comes_twice(payloads: list[dict[str, object]]) -> None:
    ids = [str(payload["id"]) for payload in payloads if "id" in payload]
    assert len(payloads) >= 45
    assert len(ids) == len(payloads) - 1
    assert max(Counter(ids).values()) == 1


def test_the_documents_examples_are_there_with_their_dates(payloads: list[dict[str, object]]) -> None:
    by_id = {payload.get("id"): payload for payload in payloads}
    assert {key: by_id[key].get("updatedDateTime") for key in EXAMPLE_IDS} == EXAMPLE_IDS


@pytest.mark.parametrize(
    "first_start", [datetime(2028, 2, 29, 23, 59, 40, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)]
)
def test_whenever_a_sandbox_first_starts_its_list_is_lively(first_start: datetime) -> None:
    dated = [
        json.loads(sample.text)
        for sample in samples.load_samples(first_start)
        if json.loads(sample.text).get("id") not in EXAMPLE_IDS and "createdDateTime" in json.loads(sample.text)
    ]

    def ago(payload: dict[str, str], key: str) -> timedelta:
        return first_start - datetime.fromisoformat(payload[key])

    expiring = [payload for payload in dated if payload.get("expirationDateTime")]
    closed = [payload for payload in dated if payload.get("substatus") in ("Won", "Lost")]
    assert min(ago(payload, "updatedDateTime") for payload in dated) > timedelta(0)
    assert max(ago(payload, "createdDateTime") for payload in dated) < timedelta(days=183)
    assert sum(ago(payload, "createdDateTime") < timedelta(hours=4) for payload in dated) == 3
    assert sum(timedelta(days=-3) < ago(payload, "expirationDateTime") < timedelta(0) for payload in expiring) == 3
    assert [ago(payload, "expirationDateTime").days for payload in expiring if payload["status"] == "Closed"] == [1]
    assert {(payload["substatus"], ago(payload, "closedDateTime").days // 30) for payload in closed} == {
        ("Won", 0), ("Lost", 0), ("Lost", 2), ("Won", 3), ("Lost", 4), ("Won", 4),
    }  # fmt: skip


def test_the_first_start_is_kept_with_the_sandbox_and_a_spoilt_one_is_named(tmp_path: Path) -> None:
    texts = [item.text for item in Sandbox(directory=tmp_path).partner_center.referrals.items()]
    file = tmp_path / FIRST_START
    began = datetime.fromisoformat(file.read_text())
    assert texts == [sample.text for sample in samples.load_samples(began)]
    file.write_text((began - timedelta(days=400)).isoformat())
    older = [item.text for item in Sandbox(directory=tmp_path).partner_center.referrals.items()]
    assert older == [sample.text for sample in samples.load_samples(began - timedelta(days=400))] != texts
    file.write_text("yesterday")
    with pytest.raises(OSError, match="remove the file to begin anew"):
        Sandbox(directory=tmp_path)


def test_in_the_data_file_every_other_date_lies_in_2026(payloads: list[dict[str, object]]) -> None:
    dates = [
        datetime.fromisoformat(str(payload[key]))
        for payload in payloads
        if payload.get("id") not in EXAMPLE_IDS
        for key in ("createdDateTime", "updatedDateTime")
        if key in payload
    ]
    assert min(dates) >= datetime(2026, 5, 25, tzinfo=UTC)
    assert max(dates) < samples.as_of()


def test_a_second_reading_gives_the_same_texts() -> None:
    again = samples.load_samples.__wrapped__(samples.as_of())
    assert again == samples.load_samples(samples.as_of())


def test_every_referral_type_is_reached(readable: list[tuple[Referral, DomainDecision]]) -> None:
    assert {referral.referral_type for referral, _ in readable} == {
        "co-sell",
        "marketplace",
        "solution-provider",
        None,
    }


def test_every_skip_reason_is_reached(readable: list[tuple[Referral, DomainDecision]]) -> None:
    assert {decision.skip_reason for _, decision in readable} == {None, *SkipReason}


def test_both_domain_sources_and_both_shapes_are_reached(readable: list[tuple[Referral, DomainDecision]]) -> None:
    assert {decision.path for _, decision in readable} >= {"website", "contact.email", "customerProfile.team[0].email"}


def test_three_referrals_of_one_company_meet_in_one_domain(readable: list[tuple[Referral, DomainDecision]]) -> None:
    of_company = [each for each in readable if each[1].domain == "hayali-anadolu-tekstil.com.tr"]
    assert Counter(decision.source for _, decision in of_company) == {"email": 2, "website": 1}
    assert {referral.referral_type for referral, _ in of_company} == {"co-sell", "marketplace"}


def test_exactly_one_sample_has_no_id_and_one_cannot_be_walked(payloads: list[dict[str, object]]) -> None:
    faults = []
    for payload in payloads:
        try:
            parse_referral(payload)
        except UnreadableReferral as problem:
            faults.append(problem.path)
    assert sorted(faults) == ["customerProfile", "id"]


def test_open_and_closed_ones_and_declared_tenants_are_there(readable: list[tuple[Referral, DomainDecision]]) -> None:
    assert {referral.substatus for referral, _ in readable if not referral.is_open} >= {"Won", "Lost", "Expired"}
    assert len({decision.domain for referral, decision in readable if referral.azure_tenant_id}) == 2
    assert any(referral.expires_at and referral.is_open for referral, _ in readable)


def test_the_value_quirks_are_there(payloads: list[dict[str, object]]) -> None:
    texts = [sample.text for sample in samples.load_samples(samples.as_of())]
    customers = [payload.get("customerProfile") for payload in payloads]
    objects = [customer for customer in customers if isinstance(customer, dict)]
    assert any("\\u0000" in text and "\\ud83d " in text for text in texts)
    assert any("1e400" in text for text in texts)
    assert any("&amp;amp;" in str(customer.get("name")) for customer in objects)
    assert {json.dumps(customer.get("ids")) for customer in objects} >= {"{}", "[]"}
    assert {customer.get("size") for customer in objects} >= {"", None, "10to50employees"}
    assert any(isinstance(payload.get("details", {}).get("dealValue"), str) for payload in payloads)  # type: ignore[attr-defined]
    assert any("updatedDateTime" not in payload for payload in payloads)


def test_some_items_need_a_request_of_their_own_for_the_contact() -> None:
    store = ReferralStore()
    for sample in samples.load_samples(samples.as_of()):
        store.add_text(sample.text, short_in_list=sample.short_in_list)
    alone = {item.referral_id for item in store.items() if needs_detail(json.loads(item.listed))}
    with_contact = {item.referral_id for item in store.items() if item.listed != item.text}
    assert with_contact < alone
    assert len(with_contact) == 2


def test_every_company_has_a_zone_of_its_own_but_two(readable: list[tuple[Referral, DomainDecision]]) -> None:
    world = samples.load_world()
    missing = {decision.domain for _, decision in readable if decision.domain} - set(world.answers)
    assert missing == {"kapanmis-kurgu-magaza.com.tr", "kurgu-bulut-danismanlik.com.tr"}
    silent = [name for name, entry in world.answers.items() if entry.get("behaviour") == "silent"]
    assert len(silent) == 1
    assert set(world.tenants) <= set(world.answers)


def test_the_zone_names_nothing_that_it_does_not_serve() -> None:
    answers = samples.load_world().answers
    targets = {record.split()[-1].rstrip(".") for entry in answers.values() for record in entry.get("MX", [])}
    targets |= {record.rstrip(".") for entry in answers.values() for record in entry.get("CNAME", [])}
    included = {
        term.partition(":")[2] if term.startswith("include:") else term.partition("=")[2]
        for entry in answers.values()
        for record in entry.get("TXT", [])
        if record.startswith("v=spf1")
        for term in record.split()
        if term.startswith(("include:", "redirect="))
    }
    assert (targets | included) - {""} <= set(answers)
