"""The story of a referral as Markdown."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hunter_pipeline.readers.lineage import LineageStep
from hunter_pipeline.readers.lineage_story import Story, in_short, plain, to_markdown

AT = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
STORY = Story(
    referral_id="r-1",
    company="Contoso",
    domain="contoso.com",
    referral_type="co-sell",
    status="New/Pending",
    expires_at=AT,
    score=72,
    segment="Migration",
    category="P2",
    reason="On-premises Exchange, no DMARC",
    steps=(
        LineageStep("raw_leads", "company domain contoso.com", "made a lead", "partner/r-1", "1", "run-aaaaaa", AT),
        LineageStep("lead_scores", None, "score 72: by rule", None, "c18d", "run-bbbbbb", AT),
    ),
    earlier=3,
)  # fmt: skip


def test_it_leads_from_the_standing_through_each_step_with_input_decision_row_rules_run_and_time():
    assert to_markdown(STORY).splitlines() == [
        "### Contoso: score 72, Migration, P2",
        "",
        "referral r-1, contoso.com, co-sell, status New/Pending, expires 2026-11-24",
        "",
        "1. **raw_leads**: made a lead",
        "    - came in: company domain contoso.com",
        "    - wrote: partner/r-1",
        "    - by rules 1 in [run run-aaaa](/runs/run-aaaaaa), 2026-11-24 09:30:00 UTC",
        "2. **lead_scores**: score 72: by rule",
        "    - came in: nothing",
        "    - wrote: nothing",
        "    - by rules c18d in [run run-bbbb](/runs/run-bbbbbb), 2026-11-24 09:30:00 UTC",
        "",
        "3 earlier steps: `hunter lineage --history` prints them.",
    ]


def test_in_short_it_is_one_line_with_the_reason_for_the_score_or_for_there_being_none():
    assert in_short(STORY) == (
        "Contoso: co-sell, status New/Pending, score 72, Migration, P2: On-premises Exchange, no DMARC"
    )
    skipped = LineageStep("normalized_domains", None, "skipped:\nconsumer_mail", None, "1", "run-a", AT)
    unscored = replace(STORY, score=None, segment=None, category=None, reason=None, steps=(skipped,))
    assert in_short(unscored) == "Contoso: co-sell, status New/Pending, not scored: skipped: consumer_mail"
    bare = replace(unscored, company="jane.roe@contoso.com", referral_type=None, status=None, steps=())
    assert in_short(bare).endswith(": type undecided, not tracked, not scored: no stage has taken it")
    assert "jane.roe" not in in_short(bare)


def test_a_referral_that_no_stage_could_take_has_neither_name_nor_score():
    bare = replace(
        STORY, company=None, domain=None, referral_type=None, status=None, expires_at=None, score=None, steps=()
    )
    assert to_markdown(bare).splitlines()[:3] == [
        "### Unnamed customer: not scored",
        "",
        "referral r-1, no company domain, type undecided",
    ]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("mail jane.doe@contoso.com now", "mail j…@contoso.com now"),
        ("<jane@contoso.com>", r"\<j…@contoso.com\>"),
        ("**bold** [a](b) `c` <img> | # ~ !", r"\*\*bold\*\* \[a\](b) \`c\` \<img\> \| \# \~ \!"),
        ("&lt;script&gt; &#60;", r"\&lt;script\&gt; \&\#60;"),
        ("Söhne & Co; R&D", "Söhne & Co; R&D"),
        ("spf_state _loud_", r"spf_state \_loud\_"),
        ("two\n\n# lines\t", r"two \# lines"),
        ("x" * 500, "x" * 400 + "…"),
        (None, "-"),
    ],
)
def test_text_of_payloads_is_shown_as_text_on_one_line_without_addresses(written: str | None, shown: str):
    assert plain(written) == shown


@settings(deadline=None, max_examples=200)
@given(st.from_regex(r"\A[a-z]{3,12}\.[a-z]{2,9}@[a-z]{2,9}\.com\Z"), st.text())
def test_no_mailbox_gets_through(address: str, around: str):
    mailbox = address.partition("@")[0]
    for before in range(370, 400, 5):  # the text is cut somewhere in the address
        assert mailbox not in plain("." * before + f" {address} {around}")
    assert address not in plain(f"{around[:150]} {address} {around}")
