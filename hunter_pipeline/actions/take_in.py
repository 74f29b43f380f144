"""The way of a version that a person's change brought through the stages, as if a sync had fetched it.

Belongs here: keeping it as the current version and running the stages over what is now to do. Does not belong here:
what a stage does. A sync that is writing goes first: then the version is kept by the next sync, which finds it in the
list, since its time of update is new.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from sqlalchemy import Engine, text

from hunter_pipeline.partner_center.pages import RawItem
from hunter_pipeline.pipeline.context import StageContext
from hunter_pipeline.pipeline.erasures import Erased, refuse, screen_of
from hunter_pipeline.pipeline.failures import Failure
from hunter_pipeline.pipeline.versions import read_item, tell, write_versions
from hunter_pipeline.store.migrate import SchemaMoved

Stage = Callable[[StageContext], object]

_log = structlog.get_logger(__name__)


def take_in(context: StageContext, item: RawItem, stages: Sequence[Stage]) -> bool:
    """Keep a version and take it through the stages.

    :param stages: the stages in their order; each takes what is to do, and that is this version as a rule.
    :returns: False when another run was writing for too long, or an upgrade has made the tables another version's; the
        next sync does it then.
    """
    try:
        with context.stage() as connection:
            row = read_item(context, item, context.clock().date(), screen_of(connection, context, [item]))
            if isinstance(row, Erased):
                refuse(connection, context, [row])
                connection.commit()
            if isinstance(row, Failure | Erased):
                return False
            row["payload_form"] = "detail"
            _, new, _ = write_versions(connection, context, [row])
            tell(connection, context, new, "kept the version that a person's change or look brought")
            connection.commit()
        for stage in stages:
            stage(context)
    except (TimeoutError, SchemaMoved) as error:
        _log.warning("action_waits_for_sync", reason=str(error))
        return False
    return True


def kept_version(engine: Engine, referral_id: str, etag: str) -> Mapping[str, Any] | None:
    """The payload of the version with this eTag; None when it was never kept or is gone."""
    with engine.connect() as connection:
        payload: Mapping[str, Any] | None = connection.execute(
            text(
                "SELECT payload FROM partner_center_referrals_raw WHERE referral_id = :id AND etag = :etag"
                " ORDER BY id DESC LIMIT 1"
            ),
            {"id": referral_id, "etag": etag},
        ).scalar()
        return payload
