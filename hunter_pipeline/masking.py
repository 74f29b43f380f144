"""How personal data and identifiers look in logs, error texts and on the screen.

Belongs here: the masking of single values, usable by every package. Does not belong here: the choice of
what to log. A masked value still tells two customers or two tenants apart for whoever knows them, and
tells nobody else who they are.
"""

from __future__ import annotations

import re

ELLIPSIS = "…"

_EMAIL = re.compile(r"[^\s@:;,<>()\"!]+@[^\s@:;,<>()\"!]+")


def mask_email(address: str) -> str:
    """Keep the first letter of the mailbox and the domain: `s…@contoso.com`.

    :param address: an e-mail address or a user principal name.
    :returns: the masked address; only the ellipsis when there is no `@` to split at.
    """
    mailbox, at, domain = address.rpartition("@")
    return f"{mailbox[:1]}{ELLIPSIS}@{domain}" if at and domain else ELLIPSIS


def mask_emails(text: str) -> str:
    """A text, such as a DNS record, in which each e-mail address is masked as `mask_email` does it."""
    return _EMAIL.sub(lambda found: mask_email(found[0]), text)


def mask_id(value: str) -> str:
    """Keep the first and last four characters of a tenant id, client id or domain: `c5fb…ed37`.

    :param value: the identifier. Of one shorter than twelve characters only the first two are kept.
    """
    return f"{value[:4]}{ELLIPSIS}{value[-4:]}" if len(value) >= 12 else f"{value[:2]}{ELLIPSIS}"
