"""What pytest-xdist does with groups: a fixture that takes a minute to start is to be started by one worker alone."""

import pytest


@pytest.mark.xdist_group("here")
def test_a_group_is_known_to_who_deals_the_tests_out(request: pytest.FixtureRequest):
    if not request.config.getoption("loadgroup", False):
        pytest.skip("one process has no groups")
    assert request.node.nodeid.endswith("@here")
