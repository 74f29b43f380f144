"""What a page shows of a referral's people and wish."""

from typing import Any

import pytest

from hunter_pipeline.partner_center.contact import Person, read_contact_sheet

PAYLOAD: dict[str, Any] = {
    "id": "r1",
    "name": "Move to the cloud",
    "engagementId": "e1",
    "externalReferenceId": "",
    "customerProfile": {
        "name": "Fabrikam",
        "size": "10to50employees",
        "address": {"city": "Izmir", "state": None, "country": "TR"},
        "team": [
            {
                "firstName": "Sue",
                "lastName": "Smith",
                "phoneNumber": "1",
                "email": "s@fabrikam.example",
                "title": "CEO",
            },
            None,
            {"firstName": None, "lastName": None},
        ],
    },
    "consent": {"consentToContact": False},
    "details": {
        "notes": "Wants &quot;Teams&quot;",
        "closingDateTime": "2026-12-01T00:00:00Z",
        "requirements": {
            "solutions": [{"name": "Dynamics 365", "id": "D365"}, {"id": "SOL-1"}],
            "products": [{"id": "Microsoft365"}],
            "services": "broken",
        },
    },
    "team": [
        {"firstName": "John", "lastName": "Doe", "email": "john.doe@microsoft.com"},
        {"firstName": "Own", "lastName": "Seller", "email": "own@partner.example"},
    ],
}


def test_everything_that_a_call_needs_is_read():
    sheet = read_contact_sheet(PAYLOAD)
    assert sheet.contacts == (Person("Sue Smith", "CEO", "s@fabrikam.example", "1"),)
    assert [person.name for person in sheet.sellers] == ["John Doe"]
    assert [person.name for person in sheet.partners] == ["Own Seller"]
    assert sheet.may_contact is False
    assert sheet.place == "Izmir, TR"
    assert sheet.size == "10 to 50 employees"
    assert sheet.solutions == ("Dynamics 365", "SOL-1", "Microsoft365")
    assert sheet.notes == 'Wants "Teams"'
    assert sheet.closing == "2026-12-01"
    assert (sheet.name, sheet.reference, sheet.engagement_id) == ("Move to the cloud", None, "e1")


def test_a_member_without_the_brackets_of_a_list_and_a_flat_contact_are_read():
    one = {"customerProfile": {"team": {"firstName": "A", "email": "a@b.example"}}}
    assert [person.email for person in read_contact_sheet(one).contacts] == ["a@b.example"]
    flat = {"contact": {"name": "A B", "emailAddress": "a@b.example", "phone": "9"}}
    assert read_contact_sheet(flat).contacts == (Person("A B", None, "a@b.example", "9"),)


@pytest.mark.parametrize(
    "broken",
    [None, [], "text", 7, {"customerProfile": []}, {"customerProfile": {"team": "x", "address": 3, "size": 4}},
     {"details": {"requirements": {"solutions": [1, None, "x"]}, "notes": {}}}, {"team": [[1]]}],
)  # fmt: skip
def test_what_cannot_be_read_is_left_out(broken: object):
    sheet = read_contact_sheet(broken)
    assert (sheet.contacts, sheet.solutions, sheet.notes) == ((), (), None)


def test_a_host_that_only_looks_like_microsoft_is_no_seller_of_microsoft():
    payload = {"team": [{"email": "a@microsoft.com.evil.example"}, {"email": "b@notmicrosoft.com"}]}
    assert read_contact_sheet(payload).sellers == ()


def test_sizes_read_as_words():
    sizes = [read_contact_sheet({"customerProfile": {"size": size}}).size for size in
             ("1001to5000employees", "Morethan20000employees", "huge", "")]  # fmt: skip
    assert sizes == ["1,001 to 5,000 employees", "more than 20,000 employees", "huge", None]
