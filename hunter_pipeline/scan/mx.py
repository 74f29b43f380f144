"""What an MX reply says about where a domain's mail goes.

Here belongs the reading of MX records by RFC 5321 and RFC 7505. Whose hosts they are is in `providers`.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Literal

from hunter_pipeline.scan.reply import Reply

MxState = Literal["present", "none", "null", "unknown"]


@dataclass(frozen=True)
class Mx:
    """The MX signal of a domain.

    :param hosts: in order of preference, in lower case without the last dot.
    """

    state: MxState
    hosts: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def read_mx(reply: Reply | None) -> Mx:
    """Mail exchangers of a domain from its MX reply.

    - `present`: at least one host.
    - `null`: the only MX is the root name, by which a domain says that it accepts no mail (RFC 7505).
    - `none`: the domain or the record does not exist. RFC 5321 section 5.1 then lets mail go to the address record
      of the domain, which is no mail set-up that anybody chose.
    - `unknown`: the look-up failed or was not made, which is neither.
    """
    if reply is None or not reply.status.known:
        return Mx("unknown")
    hosts: list[str] = []
    warnings: list[str] = []
    for record in reply.records:
        preference, _, host = record.partition(" ")
        if host == ".":
            if len(reply.records) > 1:
                warnings.append("mx: a null MX stands beside other MX records (RFC 7505 section 3)")
            elif preference != "0":
                warnings.append("mx: the null MX has a preference other than 0 (RFC 7505 section 3)")
            continue
        if _is_address(host):
            warnings.append(f"mx: {host} is an address where a host name must stand (RFC 1035 section 3.3.9)")
        hosts.append(host)
    state: MxState = "present" if hosts else "null" if reply.records else "none"
    return Mx(state, tuple(hosts), tuple(warnings))


def _is_address(host: str) -> bool:
    if ":" not in host and not host[-1:].isdecimal():
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
