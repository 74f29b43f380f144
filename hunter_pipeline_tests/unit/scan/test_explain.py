"""What each answer of a scan decided."""

from hunter_pipeline.scan.explain import explain
from hunter_pipeline.scan.reply import LookupStatus, Reply
from hunter_pipeline.scan.scan import derive_signals

MX = Reply("acme.com", "MX", LookupStatus.answer, ("10 mail.acme.com",))
NS = Reply("acme.com", "NS", LookupStatus.answer, ("ns1.natrohost.com",))
ADDRESS = Reply("mail.acme.com", "A", LookupStatus.answer, ("192.0.2.9",))
REVERSE = Reply("9.2.0.192.in-addr.arpa", "PTR", LookupStatus.answer, ("wl1.natrohost.com",))


def test_each_reply_is_told_of_in_order_with_what_changed():
    steps = explain("acme.com", [MX, NS, ADDRESS, REVERSE])
    assert [step.reply for step in steps] == [MX, NS, ADDRESS, REVERSE]
    assert "MX: unknown -> present (mail.acme.com)" in steps[0].decided
    assert steps[1].decided[0] == "name servers: unknown -> known (ns1.natrohost.com)"
    assert steps[2].decided == ()
    assert steps[3].decided == (
        "provider: Unknown -> Hosting (medium confidence)",
        "hosted by: nobody -> Natro",
        "still open: spf, dkim, dmarc",
        "evidence: mx mail.acme.com: 192.0.2.9 is called wl1.natrohost.com: Natro, a hoster",
    )


def test_the_last_step_leaves_what_the_scan_says():
    steps = explain("acme.com", [MX, NS, ADDRESS, REVERSE])
    assert f"still open: {', '.join(derive_signals('acme.com', [MX, NS, ADDRESS, REVERSE]).undetermined)}" in (
        steps[-1].decided
    )


def test_a_failed_look_up_decides_nothing():
    (step,) = explain("acme.com", [Reply("acme.com", "MX", LookupStatus.timeout)])
    assert step.decided == ()


def test_a_warning_is_told_with_the_reply_that_brought_it():
    (step,) = explain("acme.com", [Reply("acme.com", "MX", LookupStatus.answer, ("5 .",))])
    assert "warning: mx: the null MX has a preference other than 0 (RFC 7505 section 3)" in step.decided
