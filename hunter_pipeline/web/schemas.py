"""The shapes of the API's answers, as the OpenAPI document shows them.

Belongs here: field names, types and what they mean; those of a lead and of a referral are the declared columns.
Does not belong here: where the values come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hunter_pipeline.readers.lead_columns import Lead
from hunter_pipeline.readers.queue_columns import QueuedReferral
from hunter_pipeline.readers.referral_columns import Referral


class Problem(BaseModel):
    """What went wrong, in a sentence that names the fix."""

    detail: str


class SyncRequest(BaseModel):
    """How to sync."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"force": False}]})

    force: bool = Field(
        default=False, strict=True, description="Fetch everything, however old, and process all of it again"
    )


class Sync(BaseModel):
    """How a sync stands."""

    run_id: str
    status: Literal["queued", "running", "success", "partial", "failed"]
    total: int = Field(description="Referrals that were fetched")
    succeeded: int = Field(description="Of these, with a company domain: they make a lead")
    failed: int = Field(description="Of these, refused by a stage")
    failed_before: int = Field(description="Of the failed, known from before this sync")
    skipped: int = Field(description="Of these, without a usable domain; tracked all the same")
    erased: int = Field(description="Beside these, returned but erased on request: not kept")
    errors: list[str] = Field(description="Why it failed, or the first of the referrals whose failure is new")
    status_url: str = Field(description="Where to ask again")
    run_url: str = Field(description="The run in the Dagster UI")


class SyncConflict(Problem):
    """A sync is under way already."""

    run_id: str
    status_url: str


class LeadPage(BaseModel):
    """A page of the lead list."""

    leads: list[Lead]
    total: int = Field(description="Leads that pass the filter, on all pages")
    next: str | None = Field(description="Give it as `after` for the next page; null: this is the last")
    previous: str | None = Field(description="Give it as `before` for the page before; null: this is the first")


class Part(BaseModel):
    """One step of a score."""

    rule: str
    points: int
    detail: str


class Signals(BaseModel):
    """What the public records of a domain say."""

    status: Literal["complete", "partial"]
    signals: dict[str, Any] = Field(description="Every signal, with the records and reasons behind it")
    kept: dict[str, Any] = Field(description="Signals kept from an earlier scan, since the last one could not tell")
    scanned_at: datetime
    retry_at: datetime | None
    run_id: str


class ScoreChange(BaseModel):
    """A change of a lead's score."""

    changed_at: datetime
    cause: str = Field(description="`first`, `signals`, `referral` or `rules`")
    old_score: int | None
    new_score: int
    old_segment: str | None
    new_segment: str
    old_category: str | None
    new_category: str
    run_id: str


class Registration(BaseModel):
    """What the registry says of a domain."""

    status: str = Field(description="Of the latest look-up: found, unregistered, unsupported, rate_limited, failed")
    reason: str | None
    registrar: str | None
    registered_at: datetime | None
    expires_at: datetime | None
    looked_up_at: datetime


class SignalChange(BaseModel):
    """A change of a domain's signals from one known value to another."""

    changed_at: datetime
    field: str
    old: str
    new: str
    run_id: str


@dataclass(frozen=True)
class LeadDetail(Lead):
    """A lead with all that explains it."""

    breakdown: Annotated[list[Part], Field(description="The points add up to the score")]
    signals: Signals | None
    registration: Registration | None
    referral_list: Annotated[list[Referral], Field(description="Its referrals, open ones first, at most 200")]
    history: Annotated[list[ScoreChange], Field(description="Changes of its score, newest first, at most 50")]
    signal_changes: Annotated[list[SignalChange], Field(description="Changes of its signals, newest first, at most 50")]


class ReferralPage(BaseModel):
    """A page of the referrals, the last synced first."""

    referrals: list[Referral]
    next: str | None = Field(description="Give it as `after` for the next page; null: this is the last")


class DomainDecision(BaseModel):
    """How a referral's company domain was decided."""

    domain: str | None
    source: str | None
    found_at: str | None = Field(description="Path of the field in the payload")
    skip_reason: str | None
    attempts: list[dict[str, Any]]
    decided_at: datetime


class Failure(BaseModel):
    """A stage that refused the referral."""

    stage: str
    error: str
    occurrences: int
    first_seen_at: datetime
    last_seen_at: datetime
    resolved_at: datetime | None
    dismissed_at: datetime | None = Field(description="When somebody took it for known; it is open all the same")
    run_id: str


class ReferralDetail(BaseModel):
    """A referral and what stands around it."""

    referral_id: str
    referral: Referral | None = Field(description="Null while it could not be tracked")
    warnings: list[str] = Field(description="Fields of the payload that could not be read")
    decision: DomainDecision | None
    failures: list[Failure]
    payload: Any = Field(description="The referral as received")


class Step(BaseModel):
    """What one stage did with a referral."""

    stage: str
    input: str | None
    decision: str
    row_key: str | None
    code_version: str
    run_id: str
    recorded_at: datetime
    run_url: str | None = Field(description="The run in the Dagster UI; null: a person's change")
    asset_url: str = Field(description="The asset in the Dagster UI")


class Lineage(BaseModel):
    """The story of a referral."""

    referral_id: str
    current: list[Step] = Field(description="The newest step of each stage, in the order of the stages")
    steps: list[Step] = Field(description="Every step, oldest first")


class Health(BaseModel):
    """Whether the server lives and can work."""

    live: bool
    ready: bool | None = Field(description="Null when it was not asked")
    problem: str | None = Field(description="What keeps it from working")


class EventAnswer(BaseModel):
    """What came of an event."""

    sync: Literal["started", "under way", "not needed", "ignored"]
    run_id: str | None = None


class QueuePage(BaseModel):
    """A page of the work queue."""

    referrals: list[QueuedReferral]
    total: int = Field(description="Referrals that pass the filter, on all pages")
    next: str | None = Field(description="Give it as `after` for the next page; null: this is the last")


class ActionWish(BaseModel):
    """What to do with a referral; a field that is left out stays as it is."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"action": "accept"}, {"action": "decline", "reason": "Outside our region"}]},
    )

    action: Literal["accept", "decline", "won", "lost", "set"] = Field(description="`set` leaves the status alone")
    reason: str | None = Field(default=None, max_length=1000, description="Needed to decline and for lost")
    deal_value: Decimal | None = Field(default=None, ge=0, lt=10**12, decimal_places=2)
    currency: str | None = Field(default=None, pattern="^[A-Za-z]{3}$", description="ISO 4217 code of the deal value")
    closing: date | None = Field(default=None, description="Day on which the deal is expected to close")
    reference: str | None = Field(default=None, max_length=255, description="Your own number for the deal")


class ActionOrder(ActionWish):
    """A change that a person said yes to."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"action": "accept", "etag": '"2500ec5a-0000"'}]}
    )

    etag: str = Field(min_length=1, max_length=500, description="Of the preview; the yes counts for that version only")


class FieldChange(BaseModel):
    """One field of a referral that changes."""

    path: str = Field(description="JSON Pointer into the referral")
    label: str
    before: Any
    after: Any


class ActionPreview(BaseModel):
    """A change as it would be sent."""

    referral_id: str
    etag: str
    changes: list[FieldChange]


class ActionResult(BaseModel):
    """What became of a change."""

    outcome: Literal["done", "moved", "refused", "failed", "unknown"]
    text: str = Field(description="One sentence for a person")
    meanwhile: list[FieldChange] = Field(description="What somebody else changed since the preview")


class Attempt(BaseModel):
    """An attempt to change a referral, as it stands in the book."""

    action: str
    actor: str = Field(description="The person whom the proxy named; else `token`, `this machine` or a shell's account")
    channel: str
    changes: list[FieldChange]
    outcome: str
    answer: str | None
    requested_at: datetime
    finished_at: datetime | None
