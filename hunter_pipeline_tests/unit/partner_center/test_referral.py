"""Reading a referral: the documented examples, the flat shape, the quirks of values, and what is refused.

Examples A to D follow the API's documentation (list, get by id, a captured co-sell record with replaced identities,
and the reply to the creation of a shared deal).
"""

import copy
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hunter_pipeline.partner_center.referral import (
    Found,
    UnreadableReferral,
    is_closed,
    needs_detail,
    parse_referral,
    referral_id_of,
    updated_at_of,
)

LISTED: dict[str, Any] = {
    "id": "c5fbb3b6-be74-4795-9fb5-4324c73fed37",
    "engagementId": "65edc0b5-3485-41b7-a17e-dfa9ef4706e2",
    "organizationId": "7d23e5ca-19dc-4eaa-aac8-5e6b559f0d1d",
    "createdDateTime": "2020-10-30T21:03:00.0000000Z",
    "updatedDateTime": "2020-10-30T21:03:00.0000000Z",
    "status": "New",
    "substatus": "Pending",
    "qualification": "Direct",
    "type": "Independent",
    "direction": "Incoming",
    "customerProfile": {"name": "Fabrikam Customer Inc", "address": {"city": "Redmond", "country": "US"}},
    "details": {"dealValue": 10000, "currency": "USD", "closingDateTime": "2020-12-01T00:00:00Z"},
}
BY_ID: dict[str, Any] = {
    "id": "61c65491-2f2c-461a-84b4-3654499bc1d9",
    "engagementId": "b1c40bb4-6d36-4eca-baa3-e1460cf2a454",
    "createdDateTime": "2018-10-29T21:24:52.040469Z",
    "expirationDateTime": "2018-11-06T00:00:00Z",
    "status": "New",
    "substatus": "Pending",
    "qualification": "SalesQualified",
    "type": "Independent",
    "customerProfile": {
        "name": "Contoso Customer Inc",
        "size": "10to50employees",
        "team": [
            {"firstName": "Sue", "lastName": "Smith", "email": "sue.smith@contoso.com"},
            {"firstName": "Joe", "lastName": "Hansen", "email": "joe.hansen@contoso.com"},
        ],
        "ids": [{"profileType": "Duns", "id": "795986822"}],
    },
    "details": {"dealValue": 50000, "currency": "USD"},
    "team": [{"firstName": "John", "lastName": "Doe", "email": "john.doe@microsoft.com"}],
    "inviteContext": {"notes": "", "invitedBy": {"organizationId": "msft"}},
    "eTag": '"2500ec5a-0000-0000-0000-5bf4967d0000"',
}
CAPTURED: dict[str, Any] = {
    "id": "00000000-0000-0000-0000-000000000001",
    "engagementId": "00000000-0000-0000-0000-0000000000e1",
    "createdDateTime": "2022-02-24T21:04:06.0372014Z",
    "updatedDateTime": "2022-02-24T21:12:46.1743218Z",
    "expirationDateTime": None,
    "status": "Active",
    "substatus": "Accepted",
    "qualification": "SalesQualified",
    "type": "Shared",
    "direction": "Incoming",
    "salesStage": None,
    "tags": [],
    "customerProfile": {
        "name": "Fabrikam &amp; Sons",
        "size": "",
        "team": [{"firstName": "A", "email": "a.b@fabrikam.example", "title": None}],
        "ids": [{"profileType": "Duns", "id": "000000000"}],
    },
    "details": {"notes": None, "dealValue": 10000, "currency": "USD"},
    "team": [{"firstName": "S", "email": "seller@contoso.example"}],
    "inviteContext": {"notes": None, "invitedBy": {"organizationId": "00000000-0000-0000-0000-0000000000a1"}},
}
CREATED: dict[str, Any] = {
    "id": "1",
    "name": "Test Cosell Invite_20",
    "status": "Active",
    "substatus": "Accepted",
    "type": "Shared",
    "externalReferenceId": None,
    "expirationDateTime": None,
    "target": [{"type": "SolutionProfile", "id": "SOL-34104-EBB"}],
}
FLAT: dict[str, Any] = {
    "id": "ref-001",
    "type": "Co-sell",
    "companyName": "Acme Ltd",
    "website": "https://www.acme.com.tr",
    "contact": {"name": "Ali Veli", "email": "ali@acme.com.tr"},
    "azureTenantId": "72F988BF-86F1-41AF-91AB-2D7CD011DB47",
    "status": "In Progress",
}


def with_value(payload: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(payload)
    *parents, last = path.split(".")
    node = changed
    for key in parents:
        node = node.setdefault(key, {})
    node[last] = value
    return changed


def test_the_documented_list_item_is_read():
    referral = parse_referral(LISTED)
    assert referral.referral_id == "c5fbb3b6-be74-4795-9fb5-4324c73fed37"
    assert referral.engagement_id == "65edc0b5-3485-41b7-a17e-dfa9ef4706e2"
    assert referral.referral_type == "marketplace"
    assert referral.company_name == "Fabrikam Customer Inc"
    assert (referral.status, referral.substatus, referral.qualification) == ("New", "Pending", "Direct")
    assert (referral.deal_type, referral.direction) == ("Independent", "Incoming")
    assert (referral.deal_value, referral.currency) == (Decimal(10000), "USD")
    assert referral.source_updated_at == datetime(2020, 10, 30, 21, 3, tzinfo=UTC)
    assert (referral.websites, referral.emails, referral.warnings) == ((), (), ())
    assert referral.azure_tenant_id is None
    assert referral.is_open


def test_the_documented_single_referral_is_read_and_its_sellers_are_not_the_customer():
    referral = parse_referral(BY_ID)
    assert referral.referral_type == "solution-provider"
    assert referral.emails == (
        Found("customerProfile.team[0].email", "sue.smith@contoso.com"),
        Found("customerProfile.team[1].email", "joe.hansen@contoso.com"),
    )
    assert referral.expires_at == datetime(2018, 11, 6, tzinfo=UTC)
    assert referral.source_created_at == datetime(2018, 10, 29, 21, 24, 52, 40469, tzinfo=UTC)
    assert (referral.direction, referral.source_updated_at, referral.warnings) == (None, None, ())


def test_the_captured_record_is_read_with_its_quirks():
    referral = parse_referral(CAPTURED)
    assert referral.referral_type == "co-sell"
    assert referral.company_name == "Fabrikam & Sons"
    assert referral.source_updated_at == datetime(2022, 2, 24, 21, 12, 46, 174321, tzinfo=UTC)
    assert referral.expires_at is None
    assert referral.emails == (Found("customerProfile.team[0].email", "a.b@fabrikam.example"),)
    assert referral.warnings == ()


def test_the_reply_to_a_creation_is_read():
    referral = parse_referral(CREATED)
    assert (referral.referral_type, referral.company_name, referral.is_open) == ("co-sell", None, True)


def test_the_flat_shape_is_read():
    referral = parse_referral(FLAT)
    assert (referral.referral_id, referral.referral_type, referral.company_name) == ("ref-001", "co-sell", "Acme Ltd")
    assert referral.websites == (Found("website", "https://www.acme.com.tr"),)
    assert referral.emails == (Found("contact.email", "ali@acme.com.tr"),)
    assert referral.azure_tenant_id == "72f988bf-86f1-41af-91ab-2d7cd011db47"
    assert (referral.status, referral.is_open, referral.warnings) == ("In Progress", True, ())


@pytest.mark.parametrize(
    "path", ["website", "customer.website", "customer.domain", "customerProfile.website", "customerProfile.domain"]
)
def test_a_website_is_found_at_every_place_where_one_may_stand(path: str):
    assert parse_referral(with_value({"id": "1"}, path, "acme.com")).websites == (Found(path, "acme.com"),)


@pytest.mark.parametrize(
    "path",
    ["contact.email", "contact.emailAddress", "customer.email", "customerProfile.email", "email", "emailAddress"],
)
def test_an_email_is_found_at_every_place_where_one_may_stand(path: str):
    assert parse_referral(with_value({"id": "1"}, path, "a@acme.com")).emails == (Found(path, "a@acme.com"),)


def test_members_of_the_customers_team_are_read_in_order_and_nulls_are_passed_over():
    team = [None, {"email": None}, {"email": " "}, {"emailAddress": "b@acme.com"}, {"email": "c@acme.com"}]
    found = parse_referral({"id": "1", "customerProfile": {"team": team}}).emails
    assert found == (
        Found("customerProfile.team[3].emailAddress", "b@acme.com"),
        Found("customerProfile.team[4].email", "c@acme.com"),
    )


def test_a_team_of_one_member_without_brackets_is_read():
    payload = {"id": "1", "customerProfile": {"team": {"email": "a@acme.com"}}}
    assert parse_referral(payload).emails == (Found("customerProfile.team.email", "a@acme.com"),)


@pytest.mark.parametrize(
    ("payload", "path"),
    [
        (None, "the referral"),
        ("secret", "the referral"),
        ([], "the referral"),
        ({}, "id"),
        ({"id": None}, "id"),
        ({"id": ""}, "id"),
        ({"id": "  "}, "id"),
        ({"id": True}, "id"),
        ({"id": 1.5}, "id"),
        ({"id": ["secret"]}, "id"),
        ({"id": "secret\x00"}, "id"),
        ({"id": "sec\nret"}, "id"),
        ({"id": "secret\ud800"}, "id"),
        ({"id": "s" * 256}, "id"),
        ({"id": 10**300}, "id"),
        pytest.param({"id": 10**5000}, "id", id="an integer too long to print"),
        ({"id": "1", "customerProfile": ["secret"]}, "customerProfile"),
        ({"id": "1", "customerProfile": "secret"}, "customerProfile"),
        ({"id": "1", "customerProfile": {"team": "secret"}}, "customerProfile.team"),
        ({"id": "1", "customerProfile": {"team": [{}, "secret"]}}, "customerProfile.team[1]"),
        ({"id": "1", "customerProfile": {"team": [["secret"]]}}, "customerProfile.team[0]"),
        ({"id": "1", "contact": "secret"}, "contact"),
        ({"id": "1", "customer": ["secret"]}, "customer"),
        ({"id": "1", "details": "secret"}, "details"),
        ({"id": "1", "inviteContext": []}, "inviteContext"),
        ({"id": "1", "inviteContext": {"invitedBy": "secret"}}, "inviteContext.invitedBy"),
    ],
)
def test_a_broken_structure_is_refused_by_path_and_never_by_value(payload: object, path: str):
    with pytest.raises(UnreadableReferral) as caught:
        parse_referral(payload)
    assert caught.value.path == path
    assert str(caught.value).startswith(f"{path} ")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "referral_id"), [(" a-1 ", "a-1"), (42, "42"), (0, "0"), ("ş" * 255, "ş" * 255), ("a b", "a b")]
)
def test_a_text_or_an_integer_is_an_id(value: object, referral_id: str):
    assert referral_id_of({"id": value}) == referral_id


@pytest.mark.parametrize(
    ("deal_type", "qualification", "inviter", "expected"),
    [
        ("Shared", "SalesQualified", "7d23e5ca", "co-sell"),
        ("Shared", "Direct", "msft", "co-sell"),
        ("Shared", None, None, "co-sell"),
        ("Independent", "SalesQualified", "msft", "solution-provider"),
        ("Independent", "MarketingQualified", "msft", "solution-provider"),
        ("independent", "salesqualified", "MSFT", "solution-provider"),
        ("Independent", "Direct", "msft", "marketplace"),
        ("Independent", "Direct", None, "marketplace"),
        ("Independent", "SalesQualified", "7d23e5ca", "co-sell"),
        ("Independent", "None", "7d23e5ca", "co-sell"),
        ("Independent", "Direct", "7d23e5ca", None),
        ("Independent", "MarketingQualified", "7d23e5ca", None),
        ("Independent", "SalesQualified", None, None),
        ("Independent", "None", "msft", None),
        ("Independent", "None", None, None),
        ("Independent", None, "7d23e5ca", None),
        (None, "SalesQualified", "msft", None),
        ("Other", "Direct", "msft", None),
        ("Co-sell", None, None, "co-sell"),
        ("COSELL opportunity", "Direct", "msft", "co-sell"),
        ("co_sell", None, None, "co-sell"),
        ("Market Place lead", None, None, "marketplace"),
        ("Solution-Provider", None, None, "solution-provider"),
        ("SolutionProvider", None, None, "solution-provider"),
    ],
)
def test_the_kind_follows_a_text_that_names_it_else_the_documented_table(
    deal_type: str | None, qualification: str | None, inviter: str | None, expected: str | None
):
    payload = {
        "id": "1",
        "type": deal_type,
        "qualification": qualification,
        "inviteContext": {"invitedBy": {"organizationId": inviter}},
    }
    assert parse_referral(payload).referral_type == expected


def test_a_kind_named_in_referral_type_goes_before_the_table():
    payload = {"id": "1", "type": "Independent", "qualification": "Direct", "referralType": "Solution provider"}
    assert parse_referral(payload).referral_type == "solution-provider"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("  Acme \n Ltd ", "Acme Ltd"),
        ("Fabrikam &amp; Sons", "Fabrikam & Sons"),
        ("Fabrikam &amp;amp; Sons", "Fabrikam & Sons"),
        ("&Ccedil;elik A.&#350;.", "Çelik A.Ş."),
        ("O&#x27;Neil &lt;Ltd&gt;", "O'Neil <Ltd>"),
        ("AT&T", "AT&T"),
        ("R&Degree &copy Works", "R&Degree &copy Works"),
        ("Acme\x00Ltd", "Acme\ufffdLtd"),
        ("Acme\ud800", "Acme\ufffd"),
        ("Acme &#55296;&#0;", "Acme \ufffd\ufffd"),
        ("\ud83d\ude00 Acme", "😀 Acme"),
        ("x" * 300, "x" * 255),
        ("&nbsp;", None),
        ("", None),
    ],
)
def test_the_company_name_is_unescaped_and_made_fit_for_show(text: str, name: str | None):
    assert parse_referral({"id": "1", "companyName": text}).company_name == name


def test_a_blank_company_name_gives_way_to_the_next_place():
    payload = {"id": "1", "customerProfile": {"name": " "}, "companyName": "Acme"}
    assert parse_referral(payload).company_name == "Acme"


@pytest.mark.parametrize(
    ("path", "value", "field", "expected"),
    [
        ("details.dealValue", "abc", "deal_value", None),
        ("details.dealValue", "10,000.50", "deal_value", None),
        ("details.dealValue", "1_000", "deal_value", None),
        ("details.dealValue", True, "deal_value", None),
        ("details.dealValue", [1], "deal_value", None),
        ("details.dealValue", float("nan"), "deal_value", None),
        ("details.dealValue", float("inf"), "deal_value", None),
        ("details.dealValue", 10**20, "deal_value", None),
        pytest.param("details.dealValue", 10**5000, "deal_value", None, id="a value too long to print"),
        ("updatedDateTime", "yesterday", "source_updated_at", None),
        ("updatedDateTime", "0001-01-01T00:00:00", "source_updated_at", None),
        ("updatedDateTime", "12022-01-01T00:00:00Z", "source_updated_at", None),
        ("updatedDateTime", "9999-12-31T23:59:59-14:00", "source_updated_at", None),
        ("updatedDateTime", 1643673600, "source_updated_at", None),
        ("createdDateTime", {}, "source_created_at", None),
        ("expirationDateTime", "2022-02-30T00:00:00Z", "expires_at", None),
        ("azureTenantId", "acme.onmicrosoft.com", "azure_tenant_id", None),
        ("azureTenantId", "00000000-0000-0000-0000-000000000000", "azure_tenant_id", None),
        ("azureTenantId", 7, "azure_tenant_id", None),
        ("status", 1, "status", "Unknown"),
        ("status", "x" * 60, "status", "x" * 50),
        ("qualification", [], "qualification", None),
        ("website", ["acme.com"], "websites", ()),
        ("contact.email", {}, "emails", ()),
    ],
)
def test_an_unreadable_optional_field_is_a_warning(path: str, value: object, field: str, expected: object):
    referral = parse_referral(with_value({"id": "1"}, path, value))
    assert getattr(referral, field) == expected
    assert referral.warnings == (path,)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (10000, Decimal(10000)),
        (0.1, Decimal("0.1")),
        (" 2500.75 ", Decimal("2500.75")),
        ("-5", Decimal(-5)),
        (0, Decimal(0)),
        (None, None),
        ("", None),
    ],
)
def test_a_deal_value_may_be_a_number_or_a_number_as_text(value: object, expected: Decimal | None):
    referral = parse_referral({"id": "1", "details": {"dealValue": value}})
    assert referral.deal_value == expected
    assert referral.warnings == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2022-02-24T21:04:06Z", datetime(2022, 2, 24, 21, 4, 6, tzinfo=UTC)),
        ("2022-02-24T21:04:06.1Z", datetime(2022, 2, 24, 21, 4, 6, 100000, tzinfo=UTC)),
        ("2022-02-24T21:04:06.123456789Z", datetime(2022, 2, 24, 21, 4, 6, 123456, tzinfo=UTC)),
        ("2022-02-24T21:04:06+03:00", datetime(2022, 2, 24, 18, 4, 6, tzinfo=UTC)),
        (" 2022-02-24T21:04:06 ", datetime(2022, 2, 24, 21, 4, 6, tzinfo=UTC)),
        ("2022-02-24", datetime(2022, 2, 24, tzinfo=UTC)),
        ("2099-01-01T00:00:00Z", datetime(2099, 1, 1, tzinfo=UTC)),
    ],
)
def test_times_are_read_with_any_fraction_and_offset_and_naive_ones_are_utc(text: str, expected: datetime):
    assert updated_at_of({"updatedDateTime": text}) == expected
    assert parse_referral({"id": "1", "updatedDateTime": text}).source_updated_at == expected


@pytest.mark.parametrize("payload", [None, [], "x", {}, {"updatedDateTime": None}, {"updatedDateTime": "soon"}])
def test_a_payload_without_a_readable_time_has_none(payload: object):
    assert updated_at_of(payload) is None


def test_texts_that_postgresql_cannot_hold_are_cleaned():
    payload = {"id": "1", "website": "acme\x00.com", "contact": {"email": "a\udfff@acme.com"}, "status": "New\x00"}
    referral = parse_referral(payload)
    assert referral.websites[0].text == "acme\ufffd.com"
    assert referral.emails[0].text == "a\ufffd@acme.com"
    assert referral.status == "New\ufffd"


@pytest.mark.parametrize(
    ("status", "substatus", "closed"),
    [
        ("New", "Pending", False),
        ("Active", "Accepted", False),
        ("In Progress", None, False),
        ("Unknown", None, False),
        (None, None, False),
        ("None", "None", False),
        ("Closed", None, True),
        (" closed ", "Accepted", True),
        ("WON", None, True),
        ("Lost", None, True),
        ("Declined", None, True),
        ("Expired", None, True),
        ("Cancelled", None, True),
        ("Active", "Won", True),
        ("Active", "lost", True),
        (None, "Declined", True),
        ("New", "Expired", True),
    ],
)
def test_a_referral_is_closed_by_its_status_or_its_substatus(status: str | None, substatus: str | None, closed: bool):
    assert is_closed(status, substatus) is closed
    assert parse_referral({"id": "1", "status": status, "substatus": substatus}).is_open is not closed


@pytest.mark.parametrize(
    ("payload", "needed"),
    [
        (LISTED, True),
        (CREATED, True),
        ({"id": "1", "customerProfile": None}, True),
        (BY_ID, False),
        (CAPTURED, False),
        (FLAT, False),
        ({"id": "1", "customerProfile": {"team": None}}, False),
        ({"id": "1", "customerProfile": {"team": []}}, False),
        ({"id": "1", "website": None}, False),
        ({"id": "1", "contact": {"email": ""}}, False),
        ({"id": "1", "team": [{"email": "seller@contoso.com"}]}, True),
        ({"id": "1", "customerProfile": []}, False),
        ("x", False),
        (None, False),
    ],
)
def test_a_detail_request_is_needed_only_when_every_contact_key_is_absent(payload: object, needed: bool):
    assert needs_detail(payload) is needed


KEY_NAMES = (
    "id type status customerProfile team email name details dealValue inviteContext invitedBy organizationId website "
    "contact customer updatedDateTime azureTenantId companyName domain currency"
)
KEYS = st.sampled_from(KEY_NAMES.split())
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6), max_leaves=20
)


@settings(max_examples=300, deadline=None)
@given(VALUES | st.dictionaries(KEYS, VALUES, min_size=3, max_size=8).map(lambda payload: {**payload, "id": "1"}))
def test_any_json_is_a_referral_or_refused_as_unreadable(payload: object):
    needs_detail(payload)
    updated_at_of(payload)
    try:
        referral = parse_referral(payload)
    except UnreadableReferral:
        return
    texts = [referral.status, referral.company_name or "", *(f.text for f in referral.websites + referral.emails)]
    for text in texts:
        assert "\x00" not in text
        text.encode("utf-8")
    assert parse_referral(json.loads(json.dumps(payload))).referral_id == referral.referral_id
