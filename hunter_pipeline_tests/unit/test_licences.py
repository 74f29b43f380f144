"""The licences of what is installed: permissive, or an exception with its reason; and the page that lists them."""

from hunter_pipeline_tests.licences import EXCEPTIONS, PAGE, licences, page, refused


def test_every_locked_package_has_a_licence_that_may_be_used():
    assert refused(licences()) == [], "name a reason in EXCEPTIONS, or take another package"


def test_a_licence_that_binds_others_is_refused_unless_its_reason_is_named():
    assert refused({"a": "GPL-3.0", "b": "MIT OR GPL-3.0", "c": "MIT AND GPL-3.0", "d": "", "e": "MIT"}) == [
        "a: GPL-3.0", "c: MIT AND GPL-3.0", "d: none stated"
    ]  # fmt: skip


def test_no_exception_is_left_of_a_package_that_is_gone():
    assert set(EXCEPTIONS) <= set(licences())


def test_the_page_lists_what_is_installed():
    written = set(PAGE.read_text("utf-8").splitlines())
    missing = set(page(licences()).splitlines()) - written
    assert missing == set(), "run `make licences`"
