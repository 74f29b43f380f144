"""What the tests of readers share."""

from hunter_pipeline_tests.integration.readers.filled import filled

__all__ = ["filled"]
