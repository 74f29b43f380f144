"""Masked values name nobody, and still tell two apart."""

import pytest

from hunter_pipeline.masking import mask_email, mask_id


@pytest.mark.parametrize(
    ("address", "masked"),
    [
        ("sue.smith@contoso.com", "s…@contoso.com"),
        ('"a@b"@contoso.com', '"…@contoso.com'),
        ("@contoso.com", "…@contoso.com"),
        ("Sue Smith", "…"),
        ("sue@", "…"),
        ("", "…"),
    ],
)
def test_an_address_keeps_its_first_letter_and_domain(address: str, masked: str):
    assert mask_email(address) == masked


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ("c5fbb3b6-be74-4795-9fb5-4324c73fed37", "c5fb…ed37"),
        ("contoso.onmicrosoft.com", "cont….com"),
        ("contoso.com", "co…"),
        ("", "…"),
    ],
)
def test_an_identifier_keeps_its_ends_only_when_it_is_long(value: str, masked: str):
    assert mask_id(value) == masked
