"""What the tests of readers share."""

from hunter_pipeline_tests.integration.readers.filled import filled, filled_without_statistics

__all__ = ["filled", "filled_without_statistics"]
