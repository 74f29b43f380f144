"""What a JSONB column gets, and what stands beside it when that is not the exact value."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hunter_pipeline.store.jsonb import MAX_NESTING, to_jsonb

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.sampled_from(["\0", "\ud800", "\udc00x", "\\u0000", "\\\0", "NaN", "\ufffd", "\U0001f600"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["a\0", "a\ud800", "a\ufffd", "a\ufffd~2", "\\u0000", "b"]), inner)
    ),
    max_leaves=12,
)


def nested(levels: int) -> object:
    value: object = "innermost"
    for _ in range(levels):
        value = [value]
    return value


def size(value: object) -> int:
    if isinstance(value, dict):
        return 1 + sum(size(item) for item in value.values())
    return 1 + sum(size(item) for item in value) if isinstance(value, list) else 1


def test_a_value_that_jsonb_can_hold_is_passed_on_untouched():
    value = {"name": "Şişecam", "quoted": 'a\\u0031"', "n": [1, 2.5, None, True], "": {}}
    stored = to_jsonb(value)
    assert stored.payload is value
    assert stored.original is None


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("a\0b", "a\ufffdb"),
        ("\ud800", "\ufffd"),
        ("\udc00\ud800", "\ufffd\ufffd"),
        ("\ud800\ud83d\ude00", "\ufffd😀"),
        ("\\\0", "\\\ufffd"),
        ("\\u0000\0", "\\u0000\ufffd"),
    ],
)
def test_a_character_that_jsonb_refuses_is_replaced_and_the_exact_text_kept(text: str, stored: str):
    result = to_jsonb({"x": text})
    assert result.payload == {"x": stored}
    assert result.original == json.dumps({"x": text})
    assert result.original.isascii()
    assert "\0" not in result.original


def test_a_surrogate_pair_in_two_halves_is_one_character_and_nothing_is_lost():
    result = to_jsonb(["\ud83d\ude00"])
    assert result.payload == ["😀"]
    assert result.original is None


def test_keys_that_fall_together_are_both_kept():
    result = to_jsonb({"a\0": 1, "a\ud800": 2, "a\ufffd~2": 3})
    assert result.payload == {"a\ufffd": 1, "a\ufffd~3": 2, "a\ufffd~2": 3}
    assert result.original is not None


def test_numbers_that_are_none_become_words():
    result = to_jsonb([float("nan"), float("inf"), float("-inf"), 1e308])
    assert result.payload == ["NaN", "Infinity", "-Infinity", 1e308]
    assert result.original == "[NaN, Infinity, -Infinity, 1e+308]"


def test_the_words_for_such_numbers_are_ordinary_text():
    assert to_jsonb({"NaN": "Infinity"}).original is None


def test_nesting_is_taken_up_to_the_limit():
    value = nested(MAX_NESTING)
    assert to_jsonb(value).payload is value


@pytest.mark.parametrize("levels", [MAX_NESTING + 1, 100_000])
def test_deeper_nesting_is_refused_with_the_limit_named(levels: int):
    with pytest.raises(ValueError, match="deeper than 500 levels"):
        to_jsonb(nested(levels))


def test_replacing_works_at_the_deepest_level():
    value = nested(MAX_NESTING - 1)
    assert to_jsonb([value, "\0"]).payload == [value, "\ufffd"]


def test_a_value_that_contains_itself_is_refused():
    value: list[object] = []
    value += [value, value]
    with pytest.raises(ValueError, match="Circular"):
        to_jsonb(value)


def test_what_json_does_not_know_is_refused():
    with pytest.raises(TypeError, match="set"):
        to_jsonb({"x": {1}})


@given(anything)
@settings(max_examples=150, deadline=None)
def test_nothing_is_lost(value: object):
    result = to_jsonb(value)
    text = json.dumps(result.payload, allow_nan=False, ensure_ascii=False)
    text.encode()
    assert "\\u0000" not in text.replace("\\\\", "")
    assert size(result.payload) == size(value)
    if result.original is None:
        assert json.dumps(json.loads(json.dumps(result.payload))) == json.dumps(json.loads(json.dumps(value)))
    else:
        assert result.original == json.dumps(value)
