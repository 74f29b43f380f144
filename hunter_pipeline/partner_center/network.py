"""What `requests` raises, said in one line that names the host and the fix.

Belongs here: the wording that sign-in and API client share. Does not belong here: retries. The library's
own texts are left out: they quote addresses with their query strings.
"""

from __future__ import annotations

import requests
import urllib3

from hunter_pipeline.partner_center.errors import NetworkError


def network_error(
    host: str, error: requests.RequestException | urllib3.exceptions.HTTPError, timeout: float
) -> NetworkError:
    """The error for a request without an answer.

    :param host: host and port that was asked.
    :param error: what `requests` raised, or what urllib3 raised below it while a body was read.
    :param timeout: seconds that were waited at most.
    """
    if isinstance(error, requests.exceptions.SSLError):
        return NetworkError(
            f"The TLS certificate of {host} is not trusted; point REQUESTS_CA_BUNDLE at your proxy's or own CA"
        )
    if isinstance(error, requests.exceptions.ProxyError):
        return NetworkError(f"The proxy did not let the connection to {host} through; check HTTPS_PROXY")
    # While a body is read, requests reports a time-out as a lost connection.
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError) or "Read timed out" in str(error):
        return NetworkError(f"{host} did not answer within {timeout:g} seconds; check the network, or try again later")
    if isinstance(
        error,
        requests.exceptions.ChunkedEncodingError
        | requests.exceptions.ContentDecodingError
        | urllib3.exceptions.ProtocolError
        | urllib3.exceptions.DecodeError,
    ) and not isinstance(error, requests.ConnectionError):
        return NetworkError(f"The answer of {host} broke off; try again later")
    return NetworkError(f"{host} cannot be reached; check the network and HTTPS_PROXY, or try again later")
