"""Peers that take a place and prove nothing."""

import asyncio

from world import channel, dropped, hello_over_channel, is_hello, is_over, leave, need


async def s14_silent_peers_are_dropped_and_a_good_one_gets_in(world):
    start = asyncio.get_running_loop().time()
    silent = [await world.connect(), await world.connect()]
    need(not world.is_on_air(), "a lock with two links advertises")
    for connection in silent:
        await dropped(connection, 25)
    lasted = asyncio.get_running_loop().time() - start
    need(lasted > 5, f"dropped after {lasted} s: no time to pair")
    await world.good_peer()


async def s14_channel_without_proof_ends_after_10_s(world):
    connection = await world.connect()
    opened, packets = await channel(connection)
    need(is_hello(await asyncio.wait_for(packets.get(), 5)), "no hello")
    start = asyncio.get_running_loop().time()
    # One unproven link at a time: the second is told so, and may come back.
    second = await world.connect()
    try:
        await channel(second)
        need(False, "a second unproven link is taken")
    except Exception as error:
        need(getattr(error, "error_code", None) == 4, f"refused with {error!r}")
    await dropped(connection, 14)
    lasted = asyncio.get_running_loop().time() - start
    need(8 < lasted < 13, f"silent after its hello: dropped after {lasted} s")
    need(not is_over(second), "the other link went with it")
    need(is_hello(await hello_over_channel(second)), "the place did not come free")
    # And one that begins to speak has 2 s.
    opened = list(second.device.l2cap_channel_manager.le_coc_channels[second.handle].values())[0]
    start = asyncio.get_running_loop().time()
    opened.write(b"\xc0\x01\x00\x00")
    await dropped(second, 6)
    lasted = asyncio.get_running_loop().time() - start
    need(lasted < 4, f"dropped {lasted} s after its first frame")
    await world.good_peer()


CHECKS = {
    check.__name__: check
    for check in (
        s14_silent_peers_are_dropped_and_a_good_one_gets_in,
        s14_channel_without_proof_ends_after_10_s,
    )
}
