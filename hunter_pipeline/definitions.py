"""What Dagster loads. Reads the settings and the scoring rules, and nothing else: no database, no network."""

from hunter_pipeline.orchestration.build import build_defs
from hunter_pipeline.settings import load_settings

defs = build_defs(load_settings())
