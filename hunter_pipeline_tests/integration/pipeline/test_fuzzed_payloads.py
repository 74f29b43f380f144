"""Referrals that are wrong at random: no crash, each is kept or refused with a reason, and the books balance.

Many more, by another seed each time, with `make soak`.
"""

import json
import os
from typing import Any

from hunter_pipeline.partner_center.pages import read_list
from hunter_pipeline.partner_center.referral import UnreadableReferral, referral_id_of
from hunter_pipeline.pipeline.failures import item_key_of_text
from hunter_pipeline.sandbox.sandbox import Sandbox
from hunter_pipeline_tests.books import unbalanced
from hunter_pipeline_tests.fuzzed_payloads import fuzzed
from hunter_pipeline_tests.pipeline_runs import Pipeline

MANY = int(os.environ.get("SOAK_PAYLOADS", "600"))
SEED = int(os.environ.get("SOAK_SEED", "20261124"))


def keys_of(texts: list[str]) -> set[str]:
    """The keys of items: the id, or the hash of the text where there is none."""
    found = set()
    for item in read_list(f'{{"value": [{",".join(texts)}]}}'.encode()).items:
        try:
            found.add(referral_id_of(item.value))
        except UnreadableReferral:
            found.add(item_key_of_text(item.text))
    return found


def check_fuzzed(pipeline: Pipeline, sandbox: Sandbox, seed: int, count: int) -> dict[str, Any]:
    """Sync so many fuzzed referrals twice, and hold the tables to what was served; the counts of the first sync."""
    print(f"seed {seed}, {count} payloads")  # noqa: T201 - how to do it again
    texts = list(fuzzed(seed, count))
    sandbox.partner_center.page_size = 200
    for number, text in enumerate(texts):
        sandbox.partner_center.referrals.add_text(text, updated="2026-10-01T08:00:00Z", referral_id=f"fuzz-{number}")
    # Names that the samples' zone does not have are answered as such; nothing here is about DNS.
    reports = pipeline.sync()
    seen = set(pipeline.rows("SELECT item_key FROM sync_run_items"))
    assert seen == keys_of(texts)
    assert unbalanced(pipeline.engine, pipeline.now) == []
    kept = pipeline.rows("SELECT count(*), max(id) FROM partner_center_referrals_raw")
    assert pipeline.rows("SELECT count(*) FROM referral_failures WHERE error LIKE '%@%'") == [0], "quotes no value"
    pipeline.sync()
    assert pipeline.rows("SELECT count(*), max(id) FROM partner_center_referrals_raw") == kept, "nothing is new"
    assert unbalanced(pipeline.engine, pipeline.now) == []
    return dict(reports["fetch"].counts)


def test_wrong_referrals_are_kept_or_refused_one_by_one_and_the_books_balance(pipeline: Pipeline, empty: Sandbox):
    counts = check_fuzzed(pipeline, empty, seed=SEED, count=MANY)
    assert counts["failed"] > MANY / 50, "some must be refused at once"
    assert pipeline.rows("SELECT count(*) FROM partner_center_referrals")[0] > MANY / 2
    reasons = pipeline.rows("SELECT DISTINCT error FROM referral_failures")
    assert len(reasons) > 10, json.dumps(reasons)
