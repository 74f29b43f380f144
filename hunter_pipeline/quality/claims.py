"""Standing claims: what must be true of Hunter at any hour, and what to do when it is not.

Belongs here: for each claim one function that fetches the facts and one, pure, that judges them. Does not
belong here: the equations that a stage leaves behind (`books`). A claim that fails is a warning to a person:
nothing stops for it. Facts carry referral ids, domains and counts, no personal data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Connection, text

from hunter_pipeline.partner_center.errors import NetworkError, PartnerCenterError
from hunter_pipeline.quality.gates import GATES, PROCESS_AGAIN, Books, Gate, read_books
from hunter_pipeline.quality.verdicts import Verdict
from hunter_pipeline.readers.examples import EXAMPLES, Examples, find_examples

if TYPE_CHECKING:
    from hunter_pipeline.partner_center.auth import SignIn

PATIENCE = timedelta(hours=1)
"""How long a row may wait for its next stage, and a sync for its success."""

UNDETERMINED_LIMIT = 0.10
"""Share of look-ups without an answer from which name servers, not domains, are the likely cause."""

SIGN_IN_NOTICE = timedelta(days=14)
"""How long before the end of a sign-in that nobody uses it is mentioned."""

ANSWER_NOTICE = timedelta(days=3)
"""How long before its expiry an unanswered referral is mentioned."""

UNPROCESSED = """
SELECT 'normalized_domains' AS waits_for, r.referral_id AS item, r.fetched_at AS since
FROM partner_center_referrals_raw r LEFT JOIN normalized_domains d USING (referral_id)
WHERE r.is_current AND r.gone_at IS NULL AND r.fetched_at < :before AND d.raw_id IS DISTINCT FROM r.id AND NOT EXISTS (
    SELECT FROM referral_failures f WHERE f.item_key = r.referral_id AND f.raw_id = r.id AND f.resolved_at IS NULL)
UNION ALL
SELECT 'partner_center_referrals', r.referral_id, d.decided_at
FROM partner_center_referrals_raw r JOIN normalized_domains d ON d.referral_id = r.referral_id AND d.raw_id = r.id
LEFT JOIN partner_center_referrals t ON t.referral_id = r.referral_id
WHERE r.is_current AND r.gone_at IS NULL AND d.decided_at < :before AND t.raw_id IS DISTINCT FROM r.id AND NOT EXISTS (
    SELECT FROM referral_failures f WHERE f.item_key = r.referral_id AND f.raw_id = r.id AND f.resolved_at IS NULL)
UNION ALL
SELECT 'raw_leads', t.referral_id, t.updated_at
FROM partner_center_referrals t LEFT JOIN raw_leads l ON l.external_id = t.referral_id
WHERE t.domain IS NOT NULL AND t.updated_at < :before AND l.raw_id IS DISTINCT FROM t.raw_id
UNION ALL
SELECT 'companies', l.external_id, l.updated_at FROM raw_leads l LEFT JOIN companies c USING (domain)
WHERE c.domain IS NULL AND l.updated_at < :before
UNION ALL
SELECT 'domain_signals', c.domain, c.created_at FROM companies c LEFT JOIN domain_signals s USING (domain)
WHERE s.domain IS NULL AND c.created_at < :before
UNION ALL
SELECT 'lead_scores', c.domain, s.derived_at FROM companies c JOIN domain_signals s USING (domain)
LEFT JOIN lead_scores l USING (domain) WHERE l.domain IS NULL AND s.derived_at < :before
ORDER BY since, item
"""

UNRESOLVED = """
SELECT item_key AS item, stage, error, occurrences, last_seen_at AS last_seen FROM referral_failures
WHERE resolved_at IS NULL AND dismissed_at IS NULL ORDER BY last_seen_at DESC, item_key
"""

UNDETERMINED = """
SELECT domain, (SELECT string_agg(name, ', ' ORDER BY name) FROM jsonb_array_elements_text(signals->'undetermined') name
        WHERE name IN ('mx', 'spf', 'dkim', 'dmarc')) AS open, attempts, retry_at AS next_try
FROM domain_signals WHERE status = 'partial' ORDER BY attempts DESC, domain
"""

EXPIRING = """
SELECT referral_id AS referral, domain, referral_type AS type, expires_at AS expires FROM partner_center_referrals
WHERE is_open AND lower(status) = 'new' AND expires_at > :now AND expires_at <= :until ORDER BY expires_at, referral_id
"""


@dataclass(frozen=True)
class Claim:
    """A standing claim that needs nothing but the database.

    :param name: of the check.
    :param asset: the asset that it is shown at.
    :param description: what it means and what to do.
    :param check: fetches and judges, given the present.
    """

    name: str
    asset: str
    description: str
    check: Callable[[Connection, datetime], Verdict]


def judge_unprocessed(waiting: Examples) -> Verdict:
    """Whether nothing has waited for its next stage for longer than `PATIENCE`."""
    counts = {"waiting": waiting.total}
    if not waiting.total:
        return Verdict(True, "nothing has waited for its next stage for over an hour", counts)
    return Verdict(
        False,
        f"{waiting.total} have waited for their next stage for over an hour: look at the newest failed run of "
        "referral_sync_job, mend what it names, then materialize the asset they wait for and everything downstream",
        counts,
        waiting,
    )


def judge_recency(last_success: datetime | None, now: datetime, interval: timedelta, *, enabled: bool) -> Verdict:
    """Whether data came in lately: a success of the whole fetch counts, not that an asset was materialized.

    :param last_success: when the newest sync that fetched up to its present began; None: there was none.
    :param interval: the rhythm of syncs; three of them, or an hour if that is more, may pass.
    :param enabled: the feature flag; while it is off nothing is expected.
    """
    if not enabled:
        return Verdict(True, "Partner Center integration is disabled: no data is expected")
    fix = (
        "see in the Dagster UI whether referral_sync_schedule and the daemon run, and what the newest run of "
        "referral_sync_job says"
    )
    if last_success is None:
        return Verdict(False, f"no sync has fetched referrals yet: {fix}")
    minutes = round((now - last_success).total_seconds() / 60)
    limit = max(PATIENCE, 3 * interval)
    counts = {"minutes_since_success": minutes, "allowed_minutes": round(limit.total_seconds() / 60)}
    if now - last_success <= limit:
        return Verdict(True, f"the last successful sync began {minutes} min ago", counts)
    return Verdict(False, f"the last successful sync began {minutes} min ago: {fix}", counts)


def judge_failures(unresolved: Examples, dismissed: int) -> Verdict:
    """Whether every referral could be taken.

    :param unresolved: failures that nobody dismissed.
    :param dismissed: how many are open that somebody did dismiss.
    """
    counts = {"unresolved": unresolved.total, "dismissed": dismissed}
    if not unresolved.total:
        return Verdict(True, f"no unresolved failure{f' but {dismissed} dismissed' if dismissed else ''}", counts)
    return Verdict(
        False,
        f"{unresolved.total} referrals could not be taken: `hunter failures` lists them with their payload. They are "
        "tried again when they change or after an upgrade; correct them in Partner Center, report the error, or take "
        "one that stays for known with `hunter failures --dismiss ID`",
        counts,
        unresolved,
    )


def judge_undetermined(domains: int, lookups: int, undetermined: Examples) -> Verdict:
    """Whether less than `UNDETERMINED_LIMIT` of the look-ups are without an answer.

    :param domains: number of scanned domains; each has four look-ups: MX, SPF, DKIM, DMARC.
    :param lookups: how many of these failed to give an answer.
    :param undetermined: the domains that have such.
    """
    share = lookups / (4 * domains) if domains else 0.0
    counts = {
        "domains": domains,
        "undetermined_lookups": lookups,
        "undetermined_percent": round(100 * share, 1),
        "domains_to_try_again": undetermined.total,
    }
    summary = f"{100 * share:.1f} % of the look-ups of {domains} domains have no answer"
    examples = undetermined if undetermined.total else None
    if share < UNDETERMINED_LIMIT:
        return Verdict(True, summary, counts, examples)
    return Verdict(
        False,
        f"{summary}: the name servers rather than the domains are in trouble; check HUNTER_DNS_SERVERS, or lower "
        "HUNTER_DNS_QUERIES_PER_SECOND. Scores stay as they were, and the domains are tried again by themselves",
        counts,
        examples,
    )


@dataclass(frozen=True)
class SignInFacts:
    """How the sign-in stands.

    :param until: when it ends if nothing uses it; None: unknown or nobody is signed in.
    :param problem: why no access token was given, with the fix; None: one was.
    :param unreachable: the identity service could not be asked, so the sign-in may well be good.
    :param login_helps: a new sign-in is all that the problem takes.
    """

    until: datetime | None = None
    problem: str | None = None
    unreachable: bool = False
    login_helps: bool = False


def read_sign_in(sign_in: SignIn, *, renew: bool = False) -> SignInFacts:
    """Get an access token as a sync does (from the cache, else by a silent renewal) and say how that went.

    :param renew: ask for a new one in any case: one that is still good tells nothing of a sign-in that was revoked.
    """
    try:
        sign_in.acquire(force_refresh=renew)
        account = sign_in.status().account
    except PartnerCenterError as error:
        unreachable = isinstance(error, NetworkError)
        return SignInFacts(problem=str(error), unreachable=unreachable, login_helps=error.login_helps)
    return SignInFacts(until=account.signed_in_until if account else None)


def judge_sign_in(facts: SignInFacts, now: datetime) -> Verdict:
    """Whether background runs can get at Partner Center, and will be able to for a while."""
    if facts.unreachable:
        return Verdict(False, f"the sign-in could not be checked: {facts.problem}")
    if facts.problem is not None:
        return Verdict(False, facts.problem)
    if facts.until is None:
        return Verdict(False, "there is an access token but no lasting sign-in: run `hunter login`")
    days = int((facts.until - now) / timedelta(days=1))
    counts = {"days_left": days}
    if facts.until - now < SIGN_IN_NOTICE:
        return Verdict(False, f"the sign-in ends in {days} days if nothing uses it: run `hunter login`", counts)
    return Verdict(True, f"signed in; good for {days} days without use", counts)


def judge_expiring(expiring: Examples) -> Verdict:
    """Whether no unanswered referral expires within `ANSWER_NOTICE`."""
    counts = {"expiring": expiring.total}
    if not expiring.total:
        return Verdict(True, "no unanswered referral expires within three days", counts)
    return Verdict(
        False,
        f"{expiring.total} referrals expire within three days unanswered: accept or decline them in Partner Center "
        "(Referrals, Co-sell opportunities or Leads), where an expired one is closed for good",
        counts,
        expiring,
    )


def judge_all_books(books: Mapping[Gate, Books]) -> Verdict:
    """Whether every equation of the gates holds for all rows."""
    broken = sum(abs(each.missing) for each in books.values())
    counts = {"broken": broken}
    if not broken:
        return Verdict(True, "the books of all stages hold for all rows", counts)
    rows = tuple((gate.name, item) for gate, each in books.items() for item in each.strays)[:EXAMPLES]
    said = ", ".join(f"{each.missing} {gate.broken}" for gate, each in books.items() if each.missing)
    return Verdict(False, f"{said}. {PROCESS_AGAIN}", counts, Examples(broken, ("rule", "item"), rows))


def _unprocessed(connection: Connection, now: datetime) -> Verdict:
    return judge_unprocessed(find_examples(connection, UNPROCESSED, {"before": now - PATIENCE}))


def _failures(connection: Connection, now: datetime) -> Verdict:  # noqa: ARG001 - all claims look alike
    dismissed = connection.execute(
        text("SELECT count(*) FROM referral_failures WHERE resolved_at IS NULL AND dismissed_at IS NOT NULL")
    ).scalar_one()
    return judge_failures(find_examples(connection, UNRESOLVED, {}), dismissed)


def _undetermined(connection: Connection, now: datetime) -> Verdict:  # noqa: ARG001 - all claims look alike
    domains, lookups = connection.execute(
        text(
            "SELECT count(DISTINCT domain), count(name) FROM domain_signals LEFT JOIN LATERAL"
            " jsonb_array_elements_text(signals->'undetermined') name ON name IN ('mx', 'spf', 'dkim', 'dmarc')"
        )
    ).one()
    return judge_undetermined(domains, lookups, find_examples(connection, UNDETERMINED, {}))


def _expiring(connection: Connection, now: datetime) -> Verdict:
    return judge_expiring(find_examples(connection, EXPIRING, {"now": now, "until": now + ANSWER_NOTICE}))


def _books(connection: Connection, now: datetime) -> Verdict:
    # What the last hour wrote is the business of the gates of the runs that wrote it.
    return judge_all_books({gate: read_books(connection, gate, now - PATIENCE) for gate in GATES})


CLAIMS = (
    Claim(
        "nothing_unprocessed_for_an_hour",
        "lead_list",
        "Nothing waits for its next stage for over an hour. If something does, a run failed on the way: mend what its "
        "log names, then materialize the asset that is waited for and everything downstream.",
        _unprocessed,
    ),
    Claim(
        "no_unresolved_failures",
        "partner_center",
        "Every referral could be taken. Those that could not are kept with their payload (`hunter failures`) and tried "
        "again when they change: correct them in Partner Center, report the error, or dismiss one that is known.",
        _failures,
    ),
    Claim(
        "all_books_hold",
        "lead_list",
        "The equations that the gates hold for the rows of a run hold for all rows. " + PROCESS_AGAIN,
        _books,
    ),
    Claim(
        "few_undetermined_lookups",
        "lead_list",
        "Less than 10 % of the DNS look-ups are without an answer. More means trouble with the name servers: check "
        "HUNTER_DNS_SERVERS and HUNTER_DNS_QUERIES_PER_SECOND.",
        _undetermined,
    ),
    Claim(
        "no_referral_expires_unanswered",
        "partner_center",
        "No referral of status New expires within three days. Accept or decline those that do in Partner Center.",
        _expiring,
    ),
)
"""The claims that need the database alone."""
