"""Nothing in an answer is lost, and one odd item does not spoil the others."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hunter_pipeline.partner_center.errors import UnreadablePage
from hunter_pipeline.partner_center.pages import RawItem, read_item, read_list

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)  # fmt: skip


def page(*items: str, rest: str = "") -> bytes:
    return f'{{"value": [{", ".join(items)}]{rest}}}'.encode("utf-8", "surrogatepass")


def only(body: bytes) -> RawItem:
    (item,) = read_list(body).items
    return item


@settings(deadline=None, max_examples=100)
@given(values=st.lists(JSON_VALUES, max_size=5), indent=st.sampled_from([None, 2]), ascii_only=st.booleans())
def test_every_item_comes_back_as_value_and_as_text(values: list[Any], indent: int | None, ascii_only: bool):
    body = json.dumps({"@odata.count": 7, "value": values}, indent=indent, ensure_ascii=ascii_only).encode()
    answer = read_list(body)
    assert [item.value for item in answer.items] == values
    assert [json.loads(item.text) for item in answer.items] == values
    assert all(item.text.isascii() and item.problem is None for item in answer.items)
    assert (answer.total, answer.next_link) == (7, None)


def test_the_text_is_the_one_that_came_down_to_spaces_and_repeated_keys():
    text = '{"id" :  "1",\t"id":"2", "n": 1.50, "e":"\\u00e9\\/"}'
    assert only(page(text)).text == text


@pytest.mark.parametrize(
    ("literal", "kept"),
    [
        ("1e400", "1e400"),
        ("-1E+400", "-1E+400"),
        ("1e-400", "1e-400"),
        ("1e99999999999999999999", "1e99999999999999999999"),
        ("0e99999999999999999999", "0e99999999999999999999"),
        ("0.1000000000000000055511", "0.1000000000000000055511"),
        ("9007199254740993", "9007199254740993"),
        ("9" * 5000, "9" * 5000),
        ("9" * 309, "9" * 309),
        ("9007199254740992", 9007199254740992),
        ("0.1", 0.1),
        ("1.50", 1.5),
        ("1E3", 1000.0),
        ("-0", 0),
        ("10000", 10000),
    ],
)
def test_a_number_that_a_double_cannot_hold_stays_as_its_digits(literal: str, kept: object):
    item = only(page(f'{{"dealValue": {literal}}}'))
    assert isinstance(item.value, dict)
    assert item.value["dealValue"] == kept
    assert type(item.value["dealValue"]) is type(kept)
    assert literal in item.text


def test_an_item_nested_too_deeply_is_reported_alone_with_its_text():
    deep = '{"a":"]}\\"[\\\\","b":' + "[" * 50_000 + '{"c":[1,{}]}' + "]" * 50_000 + "}"
    first, second, third = read_list(page('{"id":"1"}', deep, '{"id":"3"}', rest=', "@odata.nextLink": "next"')).items
    assert (first.value, third.value) == ({"id": "1"}, {"id": "3"})
    assert second.value is None
    assert second.problem is not None
    assert second.text == deep


def test_an_item_that_is_no_object_is_kept_as_it_is():
    assert [item.value for item in read_list(page("null", "3", '"x"', "[]")).items] == [None, 3, "x", []]


def test_a_byte_that_is_no_utf8_is_kept_as_a_lone_surrogate():
    item = only(b'{"value": [{"name": "Caf\xe9"}]}')
    assert item.value == {"name": "Caf\udce9"}
    assert item.text == '{"name": "Caf\\udce9"}'


def test_characters_outside_the_basic_plane_are_escaped_in_the_text():
    item = only(page('{"name": "İş 🚀"}'))
    assert item.value == {"name": "İş 🚀"}
    assert item.text == '{"name": "\\u0130\\u015f \\ud83d\\ude80"}'


def test_a_byte_order_mark_is_accepted():
    assert read_list(b"\xef\xbb\xbf" + page('{"id":"1"}')).items[0].value == {"id": "1"}


@pytest.mark.parametrize("name", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_does_not_have_stays_with_its_item(name: str):
    first, odd, last = read_list(page('{"id":"1"}', f'{{"dealValue": {name}}}', '{"id":"2"}')).items
    assert (first.value, last.value) == ({"id": "1"}, {"id": "2"})
    assert odd.text == f'{{"dealValue": {name}}}'
    assert repr(odd.value) == repr({"dealValue": float(name)})


@pytest.mark.parametrize(
    "broken",
    [
        '{"id": "x", }',
        "{id: 1}",
        "{'id': 'x'}",
        '{"id": undefined}',
        '{"id": 01}',
        '{"id": "x" "y": [1, 2]}',
        '{"notes": "he said "hi" there"}',
        r'{"path": "C:\x"}',
        '["a" "b"]',
    ],
)
def test_an_item_that_is_no_json_stays_with_itself(broken: str):
    first, odd, last = read_list(page('{"id":"1"}', broken, '{"id":"2"}')).items
    assert (first.value, last.value) == ({"id": "1"}, {"id": "2"})
    assert odd == RawItem(broken, None, "is no JSON")


def test_a_line_break_inside_a_text_is_taken_as_it_is():
    assert read_list(page('{"notes": "a\nb\tc\x01"}')).items[0].value == {"notes": "a\nb\tc\x01"}


def test_no_beginning_of_a_page_is_taken_for_a_page():
    whole = json.dumps({"@odata.count": 2, "value": [{"a": "é\\"}, [1, 2.5, None]], "@odata.nextLink": "x"}).encode()
    for length in range(len(whole)):
        with pytest.raises(UnreadablePage):
            read_list(whole[:length])


@pytest.mark.parametrize("end", [b"", b']}"', b'"' + b'\\"' * 200_000, b'"\\'])
def test_an_unfinished_deep_item_is_no_page(end: bytes):
    with pytest.raises(UnreadablePage, match="incomplete"):
        read_list(b'{"value": [' + b"[" * 100_000 + end)


@pytest.mark.parametrize(
    "body",
    [
        b"<html><body>Sign in</body></html>",
        b"",
        b"[]",
        b"null",
        b'{"error": {"code": "x"}}',
        b'{"value": {}}',
        b'{"value": null}',
        b'{"value": []} trailing',
        b'{"value": [1,]}',
        b'{"value": [],}',
        b'{"value": [1 2]}',
        b'{"value" []}',
        b"{1: 2}",
        b'{"value": [], "value": [1]}',
        b'{"value": [], "@odata.nextLink": 5}',
        b'{"value": [], "@odata.nextLink": false}',
    ],
)
def test_what_is_no_page_is_refused(body: bytes):
    with pytest.raises(UnreadablePage):
        read_list(body)


def test_the_error_tells_a_web_page_and_quotes_nothing():
    with pytest.raises(UnreadablePage, match="HTML page") as caught:
        read_list(b"<html>sue.smith@contoso.com</html>")
    assert "sue" not in str(caught.value)


@pytest.mark.parametrize(("link", "read"), [('"x"', "x"), ("null", None), ('""', None)])
def test_a_page_is_the_last_when_it_names_no_next(link: str, read: str | None):
    assert read_list(page(rest=f', "@odata.nextLink": {link}')).next_link == read


@pytest.mark.parametrize(("count", "total"), [("5", 5), ('"5"', None), ("true", None), ("null", None), ("1.5", None)])
def test_a_count_that_is_no_number_is_no_count(count: str, total: int | None):
    assert read_list(page(rest=f', "@odata.count": {count}')).total == total


def test_one_referral_is_read_alone():
    assert read_item(b'\n {"id": "1", "n": 1e400} \n') == RawItem('{"id": "1", "n": 1e400}', {"id": "1", "n": "1e400"})
    for broken in (b"", b"{", b"{} {}", b"<html>"):
        with pytest.raises(UnreadablePage):
            read_item(broken)
