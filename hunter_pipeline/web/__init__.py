"""The HTTP API and the pages for sales people. Reads tables and asks Dagster over HTTP; computes nothing."""
