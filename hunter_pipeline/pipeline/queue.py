"""What a stage has to look at: what was marked for it, or everything when its rules are others than last time.

Belongs here: taking marks and clearing them in the transaction of the work, so that a killed run leaves them, and
the totals that a stage reports. Does not belong here: marking, which triggers of the tables do (`store.queue_tables`),
and the question whether an item needs anything, which stays with the stage: a mark only says where to look.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, text

from hunter_pipeline.pipeline.context import StageContext

Totals = Mapping[str, Any]

OF_REFERRALS = ("normalized_domains", "partner_center_referrals")
"""Stages whose queue holds ids of referrals; that of the others with gates holds domains."""

MOST_SEEN = 20_000
"""Items whose names are kept until the gates have counted them; behind more of them the gates count everything."""


def mark(connection: Connection, stage: str, items: Collection[str]) -> None:
    """Have the next run of a stage look at items again; the caller commits."""
    if items:
        connection.execute(
            text(
                "INSERT INTO stage_queue (stage, item) SELECT :stage, item FROM unnest(CAST(:items AS text[])) item"
                " ON CONFLICT DO NOTHING"
            ),
            {"stage": stage, "items": list(items)},
        )


@dataclass
class Queue:
    """The work of one stage in one run, on the connection that holds the stage lock.

    :param stage: name of the stage.
    :param version: version of the rules that decide; another one than last time has everything looked at.
    :param seen: what was looked at, for the gates; None when it was everything, or more than `MOST_SEEN`.
    """

    context: StageContext
    connection: Connection
    stage: str
    version: str
    looked_at: int = 0
    seen: list[str] | None = field(default_factory=list)
    _known: dict[str, Any] | None = None

    def items(self, everything: str, limit: int, *, keep: bool = False) -> Iterator[list[str]]:
        """What there is to look at, at most `limit` items at a time; each time ends with a commit.

        A full sweep looks at everything, so that a mark that got lost is made up for; a forced run looks at all that
        its fetch saw as well.

        :param everything: SELECT of all items there are, in one column.
        :param keep: leave the marks to `done`, for a stage that commits in between.
        """
        state = self._state()
        if state["version"] != self.version or state["sweeps"]:
            self.seen = None
            yield from self._pages(f"SELECT q.item FROM ({everything}) AS q(item) WHERE true", "item", limit, keep)  # noqa: S608
            self._remember(None)
            self.connection.commit()
        elif self.context.force:
            yield from self._pages(
                "SELECT q.item_key FROM sync_run_items q WHERE q.run_id = :run", "item_key", limit, keep
            )
        yield from self._pages("SELECT q.item FROM stage_queue q WHERE q.stage = :stage", "item", limit, keep)

    def mark(self, items: Collection[str]) -> None:
        """Have the next run look at items again; the caller commits."""
        mark(self.connection, self.stage, items)

    def totals(self, count: Callable[[], Totals]) -> Totals:
        """Counts over the whole table, counted only when this run looked at anything; the caller commits.

        :param count: counts; what it returns must go through JSON unchanged.
        """
        known: Totals | None = self._state()["totals"]
        if known is not None and not self.looked_at:
            return known
        counted = count()
        self._remember(counted)
        return counted

    def forget_totals(self) -> None:
        """Have the table counted anew, as something is written to it; the caller commits."""
        self.connection.execute(
            text("UPDATE stage_state SET totals = NULL WHERE stage = :stage AND totals IS NOT NULL"),
            {"stage": self.stage},
        )
        self._known = None

    def keep_quiet(self) -> None:
        """Mark nothing for the stage itself in this transaction: what a stage writes is no news to it."""
        # The triggers read this setting.
        self.connection.execute(text("SELECT set_config('hunter.stage', :stage, true)"), {"stage": self.stage})

    def _pages(self, query: str, name: str, limit: int, keep: bool) -> Iterator[list[str]]:
        page = text(f"{query} AND q.{name} > :after ORDER BY q.{name} LIMIT :limit")
        parameters: dict[str, object] = {"limit": limit, "after": "", "run": self.context.run_id, "stage": self.stage}
        while True:
            found = list(self.connection.execute(page, parameters).scalars())
            if not found:
                self.connection.commit()
                return
            self.keep_quiet()
            parameters["after"] = found[-1]
            if not self.looked_at:  # a run that is killed before it counts leaves no old totals
                self.forget_totals()
            self.looked_at += len(found)
            if self.seen is not None:
                self.seen = None if self.looked_at > MOST_SEEN else [*self.seen, *found]
            # Before the work, so that what is marked meanwhile is marked anew.
            if not keep:
                self._clear(found)
            yield found
            self.connection.commit()

    def done(self, items: Sequence[str]) -> None:
        """Clear the marks of items that `items` left; the caller commits, with the work itself."""
        self._clear(items)

    def _clear(self, items: Sequence[str]) -> None:
        self.connection.execute(
            text("DELETE FROM stage_queue WHERE stage = :stage AND item = ANY(:items)"),
            {"stage": self.stage, "items": items},
        )

    def _state(self) -> Mapping[str, Any]:
        """What the stage remembers, and whether the run is a full sweep; read once: the lock keeps others from it."""
        if self._known is None:
            query = text(
                "SELECT s.version, s.totals,"
                " EXISTS (SELECT FROM sync_runs WHERE run_id = :run AND window_start IS NULL) AS sweeps"
                " FROM (SELECT CAST(:stage AS text)) q(stage) LEFT JOIN stage_state s USING (stage)"
            )
            parameters = {"stage": self.stage, "run": self.context.run_id}
            self._known = dict(self.connection.execute(query, parameters).mappings().one())
        return self._known

    def _remember(self, totals: Totals | None) -> None:
        self.connection.execute(
            text(
                "INSERT INTO stage_state (stage, version, totals) VALUES (:stage, :version, CAST(:totals AS json))"
                " ON CONFLICT (stage) DO UPDATE SET version = excluded.version, totals = excluded.totals"
            ),
            {
                "stage": self.stage,
                "version": self.version,
                "totals": None if totals is None else json.dumps(totals),
            },
        )
        self._known = None
