"""Small tables that a person looks at first: the newest scores, and why referrals make no lead.

Belongs here: queries for the metadata of a run, a few rows each, with company names and domains but no persons.
Does not belong here: the lead list (`lead_list`) and counts over everything (`summary`).
"""

from __future__ import annotations

from sqlalchemy import Connection

from hunter_pipeline.readers.examples import Examples, find_examples

NEWEST = """
SELECT c.canonical_name AS company, s.domain, s.score, s.category, s.segment, s.referral_type AS referral,
    s.scored_at AS scored
FROM lead_scores s JOIN companies c USING (domain) ORDER BY s.scored_at DESC, s.score DESC, s.domain LIMIT 10
"""

SKIPS = """
SELECT skip_reason AS reason, count(*) AS referrals FROM normalized_domains
WHERE skip_reason IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10
"""


def newest_scores(connection: Connection) -> Examples:
    """The ten leads that were scored last, the best of them first."""
    return find_examples(connection, NEWEST, {})


def top_skip_reasons(connection: Connection) -> Examples:
    """The ten most frequent reasons for having no company domain, over all referrals."""
    return find_examples(connection, SKIPS, {})
