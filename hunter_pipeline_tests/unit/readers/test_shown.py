"""What a stranger's text may look like: never like another's."""

import pytest

from hunter_pipeline.readers.shown import domain_in_letters, without_turns


@pytest.mark.parametrize(
    ("domain", "shown"),
    [
        ("contoso.com", None),
        ("xn--ztrk-4qa2b.com.tr", "öztürk.com.tr"),
        ("xn--yldz-lzac.com", "yıldız.com"),
        ("xn--e1afmkfd.xn--p1ai", "пример.рф"),
        ("xn--r8jz45g.jp", "例え.jp"),
        ("xn--mgbh0fb.example", "مثال.example"),
        ("xn--3e0b707e.kr", "한국.kr"),
    ],
)
def test_a_domain_is_shown_in_its_own_letters(domain: str, shown: str | None):
    assert domain_in_letters(domain) == shown


@pytest.mark.parametrize(
    "letters",
    ["раypal.com", "аррӏе.com", "micrоsoft.com", "gοοgle.com", "сосо.com", "χοορ.com"],
)
def test_a_name_that_may_be_taken_for_another_keeps_its_ascii_form(letters: str):
    ascii_form = ".".join(part.encode("idna").decode() for part in letters.split("."))
    assert ascii_form.startswith("xn--")
    assert domain_in_letters(ascii_form) is None


@pytest.mark.parametrize("domain", ["xn--", "xn--a.com", "xn--ls8h.la", "xn--zzzzzzzzzzz99999.com"])
def test_what_cannot_be_read_stays_as_it_is(domain: str):
    assert domain_in_letters(domain) is None


def test_hidden_turns_of_direction_are_left_out():
    assert without_turns("Contoso \u202egnitekraM\u202c Ltd\u2066\u2069\u200f") == "Contoso gnitekraM Ltd"
    assert without_turns("שלום Ltd İstanbul 👩‍💻") == "שלום Ltd İstanbul 👩‍💻"
