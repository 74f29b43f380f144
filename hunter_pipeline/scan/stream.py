"""A scan that runs beside whoever uses its results: domains go in and scans come out, each as soon as it is finished.

Here belongs the thread that asks, so that asking goes on while results are written, and how far it may run ahead. Which
questions are asked is in `scan`, how in `dns`. One client serves the whole stream: it knows the servers' pace and
the names that domains share, and no batch waits for its slowest domain.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from queue import SimpleQueue
from typing import Final

from hunter_pipeline.scan.dns import DnsClient, DnsSettings
from hunter_pipeline.scan.scan import DomainScan, SharedLookups, scan_domain, workers

AHEAD: Final = 1000
"""Domains that may be taken from the input and not yet be handed out: memory stays flat if nobody takes the results."""


def stream(
    domains: Iterable[str], settings: DnsSettings, on_trouble: Callable[[str], None] | None = None
) -> Iterator[DomainScan]:
    """Scan domains one after the other, many at once, and give each scan as soon as it is finished, in any order.

    :param domains: taken from in the caller's thread, some ahead of the results.
    :param on_trouble: told at the end, in the caller's thread, what is wrong with a server itself.
    :raises ValueError: a server of the settings is no address.
    """
    ahead = max(AHEAD, 2 * workers(settings.in_flight))
    waiting = iter(domains)
    first = next(waiting, None)
    if first is None:  # the usual case of a sync: no thread and no client for nothing
        return
    waiting = chain([first], waiting)
    asker = _Asker(settings)
    try:
        left, more = 0, True
        while True:
            if more and left <= ahead // 2:
                chunk = list(islice(waiting, ahead - left))
                more = bool(chunk)
                left += len(chunk)
                asker.feed(chunk)
            if not left:
                if more:
                    continue
                break
            yield asker.take()
            left -= 1
    finally:
        asker.stop()
    if on_trouble:
        for trouble in asker.troubles:
            on_trouble(trouble)


class _Asker:
    """The thread with its event loop and client."""

    def __init__(self, settings: DnsSettings) -> None:
        self.troubles: tuple[str, ...] = ()
        self._settings = settings
        self._results: SimpleQueue[DomainScan | BaseException] = SimpleQueue()
        self._loop = asyncio.SelectorEventLoop()  # the default one of Windows cannot wait for sockets
        self._waiting: asyncio.Queue[str] = asyncio.Queue()
        self._work = self._loop.create_task(self._run())
        self._thread = threading.Thread(target=self._ask, name="scan", daemon=True)
        self._thread.start()

    def feed(self, domains: list[str]) -> None:
        """Have domains scanned."""

        def put() -> None:
            for domain in domains:
                self._waiting.put_nowait(domain)

        with contextlib.suppress(RuntimeError):  # the loop has ended: why, the next result tells
            self._loop.call_soon_threadsafe(put)

    def take(self) -> DomainScan:
        """Wait for the next scan.

        :raises Exception: what ended the thread.
        """
        result = self._results.get()
        if isinstance(result, BaseException):
            raise result
        return result

    def stop(self) -> None:
        """End the thread, whatever it is doing."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._work.cancel)
        self._thread.join()

    def _ask(self) -> None:
        try:
            self._loop.run_until_complete(self._work)
        except asyncio.CancelledError:
            return
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            self._results.put(error)
        finally:
            self._loop.close()

    async def _run(self) -> None:
        async with DnsClient(self._settings) as client:
            shared = SharedLookups(client)
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(workers(client.in_flight)):
                        group.create_task(self._scan(client, shared))
            finally:
                self.troubles = client.troubles

    async def _scan(self, client: DnsClient, shared: SharedLookups) -> None:
        while True:
            domain = await self._waiting.get()
            self._results.put(await scan_domain(domain, client, shared))
