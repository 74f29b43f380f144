"""The errors that a person can mend: each text is one line that names the fix.

Belongs here: the list, so that commands, Dagster and the web server treat the same errors alike. Does not
belong here: the errors themselves, which stand beside the code that raises them.
"""

from __future__ import annotations

from hunter_pipeline.partner_center.changes import ChangeRefused
from hunter_pipeline.partner_center.errors import PartnerCenterError
from hunter_pipeline.pipeline.erasures import ErasuresUnreadable
from hunter_pipeline.pipeline.sync_runs import SourceMismatch, SyncPaused
from hunter_pipeline.quality.digest import DigestNotDelivered
from hunter_pipeline.runs.sync_request import SyncUnderWay
from hunter_pipeline.scoring.document import RulesError
from hunter_pipeline.settings import SettingsError
from hunter_pipeline.store.database import SchemaOutdated
from hunter_pipeline.store.engine import DatabaseUnavailable, database_trouble
from hunter_pipeline.store.migrate import SchemaError, SchemaMoved, SchemaNewer

EXPECTED_ERRORS = (
    PartnerCenterError,
    ChangeRefused,
    SettingsError,
    RulesError,
    SchemaOutdated,
    SchemaNewer,
    SchemaMoved,
    SchemaError,
    DatabaseUnavailable,
    SourceMismatch,
    ErasuresUnreadable,
    SyncPaused,
    SyncUnderWay,
    DigestNotDelivered,
    TimeoutError,
)


def one_line(error: BaseException) -> str | None:
    """The text of an error that a person can mend, or that passes with the trouble of a server; None for any other."""
    return str(error) if isinstance(error, EXPECTED_ERRORS) else database_trouble(error)
