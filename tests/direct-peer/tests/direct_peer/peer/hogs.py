"""Peers that take a place and prove nothing."""

import asyncio

from bumble.keys import MemoryKeyStore

from bonds import pair
from world import channel, dropped, hello_over_channel, is_hello, is_over, leave, need, until


async def s14_a_silent_peer_is_dropped_after_10_s(world):
    start = asyncio.get_running_loop().time()
    await dropped(await world.connect(), 14)
    lasted = asyncio.get_running_loop().time() - start
    need(lasted > 8, f"dropped after {lasted} s: no time to pair")
    await world.good_peer()


async def s14_strangers_who_take_every_place_are_dropped_after_3_s(world):
    start = asyncio.get_running_loop().time()
    silent = [await world.connect(), await world.connect()]
    need(not world.is_on_air(), "a lock with two links advertises")
    await dropped(silent[0], 8)
    lasted = asyncio.get_running_loop().time() - start
    need(2 < lasted < 7, f"dropped after {lasted} s")
    await world.good_peer()
    await dropped(silent[1], 12)


async def s14_a_bonded_peer_keeps_its_place_among_strangers(world):
    bonded = await world.connect(await world.device(MemoryKeyStore()))
    await pair(bonded)
    start = asyncio.get_running_loop().time()
    await dropped(await world.connect(), 8)
    need(asyncio.get_running_loop().time() - start > 2, "a stranger had no time to pair")
    need(not is_over(bonded), "the bonded peer had to go, too")
    await leave(bonded)
    await world.good_peer()


async def s14_while_a_stranger_has_a_place_the_other_is_for_bonded_peers(world):
    device = await world.device(MemoryKeyStore())
    bonded = await world.connect(device)
    await pair(bonded)
    await world.advertises_to(everybody=True)
    await leave(bonded)
    stranger = await world.connect()
    await world.advertises_to(everybody=False)
    # Its own host takes it for connected, and nobody hears it.
    await world.connect()
    await asyncio.sleep(1)
    need(len(world.lock.le_connections) == 1, "a second stranger got in")
    again = await world.connect(device)
    need(is_hello(await hello_over_channel(again)), "the bonded peer is not served")
    need(not is_over(stranger), "the stranger had to go at once")
    await leave(again)
    await dropped(stranger, 14)
    await world.advertises_to(everybody=True)
    await world.good_peer()


async def s14_peer_whose_link_lasts_is_no_stranger(world):
    bonded = await world.connect(await world.device(MemoryKeyStore()))
    await pair(bonded)
    await leave(bonded)
    lasting = await world.connect()
    await channel(lasting)
    await world.advertises_to(everybody=False)
    start = asyncio.get_running_loop().time()
    await world.advertises_to(everybody=True, seconds=16)
    lasted = asyncio.get_running_loop().time() - start
    need(lasted > 10, f"a stranger passed for known after {lasted} s")
    need(not is_over(lasting), "the link is over")
    await world.connect()
    await until("a second link", lambda: len(world.lock.le_connections) == 2)


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
    await dropped(second, 8)
    await dropped(connection, 14)
    lasted = asyncio.get_running_loop().time() - start
    need(8 < lasted < 13, f"silent after its hello: dropped after {lasted} s")
    second = await world.connect()
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
        s14_a_silent_peer_is_dropped_after_10_s,
        s14_strangers_who_take_every_place_are_dropped_after_3_s,
        s14_a_bonded_peer_keeps_its_place_among_strangers,
        s14_while_a_stranger_has_a_place_the_other_is_for_bonded_peers,
        s14_peer_whose_link_lasts_is_no_stranger,
        s14_channel_without_proof_ends_after_10_s,
    )
}
