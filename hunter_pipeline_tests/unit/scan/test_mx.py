"""MX replies: hosts, the null MX, absence, and failure as four different things."""

import pytest

from hunter_pipeline.scan.mx import read_mx
from hunter_pipeline.scan.reply import LookupStatus, Reply


def reply(*records: str, status: LookupStatus = LookupStatus.answer) -> Reply:
    return Reply("a.test", "MX", status, records)


def test_hosts_keep_their_order():
    mx = read_mx(reply("10 mx1.a.test", "20 mx2.a.test"))
    assert (mx.state, mx.hosts, mx.warnings) == ("present", ("mx1.a.test", "mx2.a.test"), ())


def test_a_null_mx_is_its_own_state():
    assert read_mx(reply("0 .")).state == "null"
    assert read_mx(reply("10 .")).state == "null"


def test_a_null_mx_beside_a_host_is_ignored_with_a_warning():
    mx = read_mx(reply("0 .", "10 mx.a.test"))
    assert (mx.state, mx.hosts, len(mx.warnings)) == ("present", ("mx.a.test",), 1)


def test_an_address_as_a_host_is_pointed_out():
    mx = read_mx(reply("10 192.0.2.1"))
    assert mx.state == "present"
    assert mx.warnings


@pytest.mark.parametrize("status", [LookupStatus.nodata, LookupStatus.nxdomain])
def test_a_known_absence_is_none(status: LookupStatus):
    assert read_mx(reply(status=status)).state == "none"


@pytest.mark.parametrize(
    "status", [LookupStatus.servfail, LookupStatus.refused, LookupStatus.timeout, LookupStatus.other]
)
def test_a_failed_look_up_is_unknown_and_not_absent(status: LookupStatus):
    assert read_mx(reply(status=status)).state == "unknown"
    assert read_mx(None).state == "unknown"
