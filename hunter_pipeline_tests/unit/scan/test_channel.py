"""Slots: as many at once as allowed, first come first served, and none lost."""

import asyncio

from hunter_pipeline.scan.channel import Slots


def test_no_more_are_taken_than_there_are_and_the_first_in_line_is_next():
    async def run() -> list[int]:
        slots, order = Slots(2), list[int]()

        async def work(number: int) -> None:
            await slots.take()
            order.append(number)

        tasks = [asyncio.create_task(work(number)) for number in range(5)]
        await asyncio.sleep(0)
        assert order == [0, 1]
        slots.give()
        slots.give()
        slots.give()
        await asyncio.gather(*tasks)
        return order

    assert asyncio.run(run()) == [0, 1, 2, 3, 4]


def test_a_slot_handed_to_one_that_was_cancelled_goes_to_the_next_in_line():
    async def run() -> None:
        slots = Slots(1)
        await slots.take()
        first, second = (asyncio.create_task(slots.take()) for _ in range(2))
        await asyncio.sleep(0)
        slots.give()
        first.cancel()
        await asyncio.wait_for(second, 5)
        slots.give()
        await asyncio.wait_for(slots.take(), 5)

    asyncio.run(run())


def test_one_that_gave_up_waiting_gets_no_slot():
    async def run() -> None:
        slots = Slots(1)
        await slots.take()
        gone = asyncio.create_task(slots.take())
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        slots.give()
        await asyncio.wait_for(slots.take(), 5)

    asyncio.run(run())
