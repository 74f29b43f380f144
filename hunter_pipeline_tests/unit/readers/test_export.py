"""Leads as files: nothing in them is taken for a formula, and nothing is lost."""

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import openpyxl
import pytest

from hunter_pipeline.readers.export import lead_record, write_csv, write_xlsx
from hunter_pipeline.readers.lead_columns import EXPORTED, Deal, Lead

LEAD = Lead(
    domain="contoso.com",
    company_name='Contoso, "Ltd"\nTürkiye',
    provider="Google",
    azure_tenant_id=None,
    score=65,
    segment="Migration",
    reason="because",
    priority_score=3,
    technical_heat="Hot",
    commercial_segment="GREENFIELD",
    commercial_heat="HIGH",
    category="P1",
    category_label="High Potential Greenfield",
    referral_type="co-sell",
    referrals=2,
    open_referrals=1,
    deal_value=Decimal("-100.50"),
    currency="EUR",
    deals=(Deal("EUR", Decimal("-100.50")), Deal("USD", Decimal(7))),
    expires_at=datetime(2026, 11, 25, 9, tzinfo=UTC),
    last_synced_at=datetime(2026, 11, 24, 9, tzinfo=UTC),
    created_at=datetime(2026, 11, 23, 9, tzinfo=UTC),
    score_changed_at=None,
    scored_at=datetime(2026, 11, 24, 9, tzinfo=UTC),
)
MARK = "\ufeff"
FORMULAS = ['=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1"]


def _csv(*leads: Lead) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(write_csv(leads)).removeprefix(MARK), newline="")))


def _xlsx(*leads: Lead) -> list[dict[str, object]]:
    book = openpyxl.load_workbook(io.BytesIO(b"".join(write_xlsx(leads))), read_only=True)
    _, *rows = book.active.iter_rows(values_only=True)
    return [dict(zip([column.name for column in EXPORTED], row, strict=True)) for row in rows]


def test_a_workbook_opens_ready_for_work():
    sheet = openpyxl.load_workbook(io.BytesIO(b"".join(write_xlsx([LEAD, replace(LEAD, expires_at=None)])))).active
    header = {cell.value: cell for cell in sheet[1]}
    assert {"Domain", "Company", "Category", "Deal value", "Expires (UTC)"} <= set(header)
    assert all(cell.font.bold for cell in sheet[1])
    assert sheet.freeze_panes == "A2"
    assert sheet.auto_filter.ref == f"A1:{sheet[1][-1].column_letter}3"
    expires = sheet.cell(2, header["Expires (UTC)"].column)
    assert expires.value == datetime(2026, 11, 25, 9)  # noqa: DTZ001 - Excel's dates know no zone
    assert (expires.is_date, sheet.cell(2, header["Deal value"].column).number_format) == (True, "#,##0.00")
    assert sheet.cell(2, 1).hyperlink.target == "https://contoso.com/"
    assert sheet.column_dimensions["B"].width > 20


def test_a_csv_begins_with_the_mark_that_excel_needs():
    assert next(write_csv([])) == MARK


def test_the_bytes_of_a_csv_are_what_spreadsheets_have_been_given_so_far():
    odd = replace(
        LEAD, domain="b.com", company_name="Ş\r日", reason="", score=None, deals=(), deal_value=Decimal("1E+3")
    )
    assert "".join(write_csv([LEAD, odd])).encode() == (
        b"\xef\xbb\xbfdomain,company_name,referral_type,category,category_label,score,segment,reason,provider,"
        b"priority_score,technical_heat,commercial_segment,commercial_heat,referrals,open_referrals,deal_value,currency,"
        b"deals,expires_at,last_synced_at,azure_tenant_id\r\n"
        b'contoso.com,"Contoso, ""Ltd""\nT\xc3\xbcrkiye",co-sell,P1,High Potential Greenfield,65,Migration,because,'
        b"Google,3,Hot,GREENFIELD,HIGH,2,1,-100.50,EUR,"
        b"'-100.50 EUR + 7 USD,2026-11-25T09:00:00+00:00,2026-11-24T09:00:00+00:00,\r\n"
        b'b.com,"\xc5\x9e\r\xe6\x97\xa5",co-sell,P1,High Potential Greenfield,,Migration,,Google,'
        b"3,Hot,GREENFIELD,HIGH,2,1,1E+3,EUR,"
        b",2026-11-25T09:00:00+00:00,2026-11-24T09:00:00+00:00,\r\n"
    )


@pytest.mark.parametrize("text", FORMULAS)
def test_a_text_that_a_spreadsheet_would_run_gets_an_apostrophe(text: str):
    lead = replace(LEAD, company_name=text, reason=text)
    assert _csv(lead)[0]["company_name"] == "'" + text
    name = _xlsx(lead)[0]["company_name"]
    assert isinstance(name, str)
    assert name.startswith("'")


def test_a_number_stays_a_number_even_below_zero():
    assert _csv(LEAD)[0]["deal_value"] == "-100.50"
    assert _xlsx(LEAD)[0]["deal_value"] == -100.5


def test_deals_in_several_currencies_stand_in_one_cell():
    lead = replace(LEAD, deals=(Deal("EUR", Decimal(5)), Deal("USD", Decimal(7))))
    assert _csv(lead)[0]["deals"] == _xlsx(lead)[0]["deals"] == "5 EUR + 7 USD"


def test_quotes_line_ends_and_letters_come_back_from_csv():
    row = _csv(LEAD)[0]
    assert row["company_name"] == LEAD.company_name
    assert (row["currency"], row["expires_at"]) == ("EUR", "2026-11-25T09:00:00+00:00")
    assert row["azure_tenant_id"] == ""


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 2500])
def test_every_lead_is_in_the_file_once_under_one_header(count: int):
    leads = [replace(LEAD, domain=f"d{number}.com") for number in range(count)]
    assert [row["domain"] for row in _csv(*leads)] == [lead.domain for lead in leads]
    assert len(_xlsx(*leads)) == count


def test_a_letter_that_excel_forbids_does_not_spoil_the_file():
    assert _xlsx(replace(LEAD, company_name="a\x00\x0bb" + "c" * 40_000))[0]["company_name"][:3] == "a\ufffd\ufffd"  # type: ignore[index]


def test_both_spreadsheets_have_the_same_columns():
    assert tuple(_csv(LEAD)[0]) == tuple(_xlsx(LEAD)[0]) == tuple(column.name for column in EXPORTED)


def test_a_record_is_plain_json_with_utc_times():
    record = json.loads(json.dumps(lead_record(LEAD)))
    assert record["expires_at"] == "2026-11-25T09:00:00Z"
    assert record["deal_value"] == -100.5
    assert record["deals"] == [{"currency": "EUR", "value": -100.5}, {"currency": "USD", "value": 7}]


def test_a_csv_is_sent_while_its_rows_are_read():
    read: list[int] = []

    def rows() -> Iterator[Lead]:
        for number in range(2500):
            read.append(number)
            yield LEAD

    pieces = write_csv(rows())
    assert (next(pieces), len(read)) == (MARK, 0)
    assert (next(pieces).count("contoso.com"), len(read)) == (1000, 1000)
    assert [piece.count("contoso.com") for piece in pieces] == [1000, 500]


def test_a_workbook_begins_before_its_first_row_is_read_and_grows_while_they_are():
    read: list[int] = []

    def rows() -> Iterator[Lead]:
        for number in range(2000):
            read.append(number)
            yield replace(LEAD, domain=f"d{number}.com")

    pieces = write_xlsx(rows())
    whole = next(pieces)
    assert whole.startswith(b"PK")
    assert read == []
    whole += next(pieces)
    assert 0 < len(read) < 1000
    whole += b"".join(pieces)
    assert openpyxl.load_workbook(io.BytesIO(whole)).active.max_row == 2001


def test_a_workbook_is_sound_as_a_zip_file_and_names_the_rows_of_its_filter():
    for count in (0, 1, 600):
        content = b"".join(write_xlsx([replace(LEAD, domain=f"d{number}.com") for number in range(count)]))
        with zipfile.ZipFile(io.BytesIO(content)) as book:
            assert book.testzip() is None
            assert f"${count + 1}</definedName>" in book.read("xl/workbook.xml").decode()
        sheet = openpyxl.load_workbook(io.BytesIO(content)).active
        assert sheet.auto_filter.ref.endswith(str(count + 1))


def test_excel_gets_no_more_links_than_it_takes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("hunter_pipeline.readers.workbook._MOST_LINKS", 3)
    content = b"".join(write_xlsx([replace(LEAD, domain=f"d{number}.com") for number in range(1200)]))
    sheet = openpyxl.load_workbook(io.BytesIO(content)).active
    links = [cell.value for (cell,) in sheet.iter_rows(min_row=2, max_col=1) if cell.hyperlink]
    assert links == ["d0.com", "d1.com", "d2.com"]
