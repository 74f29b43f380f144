"""Names of companies as people type them: what they stand for, how a refusal and an error show them.

Does not belong here: the rules that make a domain of a text, which are those that referrals go through
(`domains/normalize`).
"""

from __future__ import annotations

from hunter_pipeline.domains.normalize import SkipReason, Verdict, domain_from_email, domain_from_website
from hunter_pipeline.masking import mask_email

REFUSALS = {
    SkipReason.no_candidate: "nothing is written there",
    SkipReason.not_a_host: "it is no domain, website or e-mail address",
    SkipReason.ip_address: "it is an IP address; give a domain",
    SkipReason.single_label: "it is one word; give a full domain such as example.com",
    SkipReason.public_suffix: "it is an ending that anybody can register under",
    SkipReason.consumer_mail: "it is a consumer mail provider, no company's own domain",
    SkipReason.shared_host: "it is a host that many companies share",
    SkipReason.social_or_site_builder: "it is a social network, marketplace or site builder",
    SkipReason.reserved_or_invalid: "its ending does not exist in public DNS, or is reserved",
}
"""Why a text gives no company domain, in words."""


def company_domain(text: str) -> Verdict:
    """The company domain of a name as a person types it: a domain, website or e-mail address."""
    return domain_from_email(text) if "@" in text else domain_from_website(text)


def shown(name: str) -> str:
    """A name as an error may show it: of an e-mail address the first letter and the domain."""
    return mask_email(name) if "@" in name else name
