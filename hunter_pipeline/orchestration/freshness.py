"""How old what a sync materializes may grow before the Dagster UI says so.

Belongs here: the policy, which follows the configured rhythm. Does not belong here: whether data arrived, which the
check `data_is_recent` tells: a policy sees materializations only.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta

import dagster as dg

from hunter_pipeline.quality.claims import PATIENCE
from hunter_pipeline.settings import Settings


def freshness_policy(settings: Settings) -> dg.FreshnessPolicy | None:
    """Warns after an hour or three intervals, whichever is longer, and fails after twice that.

    None while the feature is off: nothing is expected then.
    """
    if not settings.partner_center_enabled:
        return None
    warn = max(PATIENCE, 3 * timedelta(seconds=settings.partner_center_sync_interval))
    return dg.FreshnessPolicy.time_window(fail_window=2 * warn, warn_window=warn)


def with_freshness(settings: Settings, assets: Iterable[dg.AssetsDefinition]) -> Sequence[dg.AssetsDefinition]:
    """The assets with the policy."""
    policy = freshness_policy(settings)
    if policy is None:
        return list(assets)
    return [asset.map_asset_specs(lambda spec: spec.replace_attributes(freshness_policy=policy)) for asset in assets]
