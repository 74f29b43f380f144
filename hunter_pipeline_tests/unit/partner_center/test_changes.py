"""What may be changed of a referral, in which state, and the patch that asks for it."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from hunter_pipeline.partner_center.changes import (
    ACTIONS,
    ChangeRefused,
    Wish,
    is_done,
    moved,
    plan,
    possible,
    to_patch,
)


def payload(status: str = "New", substatus: str | None = "Received", **more: Any) -> dict[str, Any]:
    details = {"dealValue": 10000, "currency": "USD", "closingDateTime": "2026-12-01T00:00:00.0000000Z"}
    return {"id": "r1", "status": status, "substatus": substatus, "details": details, **more}


def test_the_documented_pairs_are_the_ones_that_are_asked_for():
    asked = {}
    for action in ACTIONS:
        for status, substatus in [
            ("New", "Pending"), ("New", "Received"), ("Active", "Accepted"), ("Closed", "Won"), ("Closed", "Lost"),
            ("Closed", "Declined"), ("Closed", "Expired"), ("None", "None"), ("New", None),
        ]:  # fmt: skip
            wish = Wish(action, reason="why" if action in ("decline", "lost") else None, reference="A-1")
            try:
                changes = plan(payload(status, substatus), wish)
            except ChangeRefused:
                continue
            values = {change.path: change.after for change in changes}
            asked[action, status, substatus] = values.get("/status"), values.get("/substatus")
    assert asked == {
        ("accept", "New", "Pending"): ("Active", "Accepted"),
        ("accept", "New", "Received"): ("Active", "Accepted"),
        ("decline", "New", "Pending"): ("Closed", "Declined"),
        ("decline", "New", "Received"): ("Closed", "Declined"),
        ("won", "Active", "Accepted"): ("Closed", "Won"),
        ("lost", "Active", "Accepted"): ("Closed", "Lost"),
        ("set", "New", "Pending"): (None, None),
        ("set", "New", "Received"): (None, None),
        ("set", "Active", "Accepted"): (None, None),
    }


def test_the_patch_is_an_array_of_replace_with_only_what_differs():
    wish = Wish("won", deal_value=Decimal("12000.50"), currency="usd", closing=date(2026, 12, 1), reference=" D-7 ")
    changes = plan(payload("Active", "Accepted"), wish)
    assert to_patch(changes) == [
        {"op": "replace", "path": "/status", "value": "Closed"},
        {"op": "replace", "path": "/substatus", "value": "Won"},
        {"op": "replace", "path": "/details/dealValue", "value": 12000.5},
        {"op": "replace", "path": "/externalReferenceId", "value": "D-7"},
    ]
    assert [change.before for change in changes] == ["Active", "Accepted", 10000, None]


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        (Wish("decline"), "give a reason"),
        (Wish("decline", reason="  "), "give a reason"),
        (Wish("accept", reason="why"), "only given when"),
        (Wish("decline", reason="x" * 1001), "longer than 1000"),
        (Wish("decline", reason="a\0b"), "control characters"),
        (Wish("set"), "at least one value"),
        (Wish("set", currency="EURO"), "three letters"),
        (Wish("set", deal_value=Decimal(-1)), "deal value"),
        (Wish("set", deal_value=Decimal("NaN")), "deal value"),
        (Wish("set", deal_value=Decimal("1.001")), "two decimals"),
        (Wish("set", deal_value=Decimal(10) ** 12), "deal value"),
        (Wish("set", deal_value=Decimal(10000)), "nothing would change"),
        (Wish("set", closing=date(2026, 12, 1)), "nothing would change"),
        (Wish("set", reference="x" * 256), "longer than 255"),
        (Wish("won"), "possible now: accept, decline, set"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_with_the_reason(wish: Wish, says: str):
    with pytest.raises(ChangeRefused, match=says):
        plan(payload(), wish)


def test_a_value_without_a_currency_needs_one():
    bare = payload() | {"details": {}}
    with pytest.raises(ChangeRefused, match="no currency yet"):
        plan(bare, Wish("set", deal_value=Decimal(5)))
    assert len(plan(bare, Wish("set", deal_value=Decimal(5), currency="TRY"))) == 2


def test_nothing_can_be_done_with_a_closed_referral():
    assert possible("Closed", "Expired") == ()
    with pytest.raises(ChangeRefused, match="nothing can be done with it any more"):
        plan(payload("Closed", "Expired"), Wish("accept"))


def test_an_unreadable_payload_is_refused_and_its_values_stay_out_of_the_text():
    with pytest.raises(ChangeRefused, match="cannot be read: customerProfile must be an object") as refused:
        plan(payload(customerProfile=["Jane Doe"]), Wish("accept"))
    assert "Jane" not in str(refused.value)


def test_done_means_all_values_arrived_whatever_their_form():
    changes = plan(payload(), Wish("set", deal_value=Decimal(7), closing=date(2027, 1, 2)))
    after = payload() | {"details": {"dealValue": "7.0", "currency": "USD", "closingDateTime": "2027-01-02T00:00:00Z"}}
    assert is_done(after, changes)
    assert not is_done(payload(), changes)


def test_what_somebody_else_changed_is_told_field_by_field():
    then, now = payload(), payload("Closed", "Expired")
    assert [(each.label, each.before, each.after) for each in moved(then, now)] == [
        ("Status", "New", "Closed"),
        ("Substatus", "Received", "Expired"),
    ]
    assert moved(then, payload()) == ()
