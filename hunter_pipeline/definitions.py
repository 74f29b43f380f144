"""What Dagster loads. Reads the settings and the scoring rules, and nothing else: no database, no network.

Every process of Dagster's that runs a step loads it: code server, run, worker. So it is here that their log lines get
the form that is set.
"""

from hunter_pipeline.logs import configure_logging
from hunter_pipeline.orchestration.build import build_defs
from hunter_pipeline.settings import load_settings

_settings = load_settings()
configure_logging(_settings)
defs = build_defs(_settings)
