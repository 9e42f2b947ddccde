"""What a well-behaved peer sees: adverts, attributes, MTUs, the channel and its credits."""

import asyncio

from bumble import att, l2cap

from world import (
    ADDRESS_EVERY,
    INBOX,
    INFO,
    OUTBOX,
    SERVICE,
    attributes,
    channel,
    dropped,
    hello_over_channel,
    is_beacon,
    is_hello,
    is_over,
    knob,
    leave,
    need,
    until,
)


async def advert_has_flags_service_and_a_beacon_of_the_codes_key_and_nothing_else(world):
    uuid = SERVICE.to_bytes()
    advert = bytes.fromhex("020106") + bytes([17, 0x07]) + uuid
    need(world.advert() == advert, f"the advert is {world.advert().hex()}")
    response = world.response()
    head = bytes([29, 0x21]) + uuid
    need(response[:18] == head and len(response) == 30, f"the response is {response.hex()}")
    need(is_beacon(response[18:]), "the beacon is not of this lock's key")
    address = world.lock.random_address
    need(address.is_resolvable, f"{address} is no resolvable private address")
    # And over the air, as a peer that scans gets it.
    device = await world.device()
    seen = asyncio.get_running_loop().create_future()
    device.on("advertisement", lambda one: seen.done() or seen.set_result(one))
    await device.start_scanning(active=True)
    one = await asyncio.wait_for(seen, 5)
    need(one.is_connectable and one.address == address, f"{one}")
    need(bytes(one.data) == advert, f"seen on the air: {bytes(one.data).hex()}")


async def address_and_beacon_change_together(world):
    pairs = set()
    for _ in range(3):
        before = (world.lock.random_address, world.response())
        pairs.add(before)
        end = asyncio.get_running_loop().time() + ADDRESS_EVERY + 3
        while (world.lock.random_address, world.response()) == before:
            need(asyncio.get_running_loop().time() < end, "the address does not change")
            await asyncio.sleep(0.001)
        # The change is not one step for the controller, but no advert goes out between its steps.
        await until("an advert", world.is_on_air, 2)
        address, response = world.lock.random_address, world.response()
        need(address != before[0] and response != before[1], "one of the two changed alone")
        need(is_beacon(response[18:]), "the new beacon is not of this lock's key")
    need(len({address for address, _ in pairs}) == 3, "an address came back")
    need(len({response for _, response in pairs}) == 3, "a beacon came back")


async def expect_error(what: str, request, *codes: int):
    try:
        await asyncio.wait_for(request, 5)
    except att.ATT_Error as error:
        need(error.error_code in codes, f"{what}: refused with {error}")
        return
    need(False, f"{what} is allowed")


async def attributes_refuse_what_is_not_theirs(world):
    connection = await world.connect()
    peer, found = await attributes(connection)
    services = [service.uuid for service in peer.services]
    need(services[-1] == SERVICE and len(services) == 3, f"services {services}")
    of_lock = [one.uuid for one in peer.services[-1].characteristics]
    need(of_lock == [INFO, INBOX, OUTBOX], f"characteristics {of_lock}")
    info, inbox, outbox = found[INFO], found[INBOX], found[OUTBOX]
    first = await info.read_value()
    need(is_hello(bytes(4) + first), f"info is {first.hex()}")
    forbidden = (att.ATT_WRITE_NOT_PERMITTED_ERROR, att.ATT_REQUEST_NOT_SUPPORTED_ERROR)
    await expect_error("writing info", info.write_value(b"\0", with_response=True), *forbidden)
    await expect_error("writing outbox", outbox.write_value(b"\0", with_response=True), *forbidden)
    await expect_error("a request to inbox", inbox.write_value(b"\0", with_response=True), *forbidden)
    await expect_error("reading inbox", inbox.read_value(), att.ATT_READ_NOT_PERMITTED_ERROR)
    await expect_error("reading outbox", outbox.read_value(), att.ATT_READ_NOT_PERMITTED_ERROR)
    need(await info.read_value() == first, "a refused write changed info")
    await leave(connection)


async def hello_over_attributes(connection, mtu: int) -> tuple[bytes, int]:
    peer, found = await attributes(connection, mtu)
    packets = asyncio.Queue()
    await found[OUTBOX].subscribe(packets.put_nowait)
    parts = [await asyncio.wait_for(packets.get(), 5)]
    try:
        while True:
            parts.append(await asyncio.wait_for(packets.get(), 0.3))
    except asyncio.TimeoutError:
        pass
    return parts, connection.att_mtu


async def hello_arrives_at_att_mtu_23_and_517(world):
    for asked, largest in ((23, 20), (517, 244)):
        connection = await world.connect()
        parts, agreed = await hello_over_attributes(connection, asked)
        need(agreed == asked or asked == 517 and agreed >= 247, f"asked {asked}, agreed {agreed}")
        need(all(len(part) <= largest for part in parts), f"parts of {[len(p) for p in parts]}")
        if asked == 23:
            need(len(parts) > 1 and len(parts[0]) == 20, f"parts of {[len(p) for p in parts]}")
        else:
            need(len(parts) == 1 and is_hello(parts[0]), f"{[part.hex() for part in parts]}")
        need(bytes.fromhex("041888") in b"".join(parts), "no hello")
        await leave(connection)


async def hello_comes_over_channel_and_over_attributes_and_differs(world):
    hellos = []
    for _ in range(2):
        connection = await world.connect()
        hellos.append(await hello_over_channel(connection))
        await leave(connection)
        connection = await world.connect()
        parts, _ = await hello_over_attributes(connection, 247)
        hellos.append(parts[0])
        await leave(connection)
    need(all(is_hello(hello) for hello in hellos), f"{[hello.hex() for hello in hellos]}")
    need(len({hello[-16:] for hello in hellos}) == len(hellos), "a nonce came twice")


async def lock_sends_no_frame_without_a_credit(world):
    connection = await world.connect()
    # Frames of at most 23 bytes, of which the hello needs two, and one credit.
    frames = []
    manager = connection.device.l2cap_channel_manager
    usual = manager.on_pdu

    def on_pdu(connection, cid, pdu):
        if cid >= 0x40:
            frames.append(pdu)
            return
        usual(connection, cid, pdu)

    manager.on_pdu = on_pdu
    opened, _ = await channel(connection, mtu=64, mps=23, credits=1)
    await asyncio.sleep(0.5)
    sent_with_one = len(frames)
    need(sent_with_one <= 1, f"{sent_with_one} frames for one credit")
    for _ in range(4):
        credit = l2cap.L2CAP_LE_Flow_Control_Credit(
            identifier=9, cid=opened.source_cid, credits=1
        )
        connection.send_l2cap_pdu(l2cap.L2CAP_LE_SIGNALING_CID, bytes(credit))
        await asyncio.sleep(0.2)
        need(len(frames) <= sent_with_one + 4, "more frames than credits")
    await until("the hello goes on with new credits", lambda: len(frames) >= 2)
    need(all(len(frame) <= 23 for frame in frames), "a frame above the MPS")
    whole = b"".join(frames)
    need(is_hello(whole[2:]), f"no hello: {whole.hex()}")
    await leave(connection)


async def frames_beyond_the_credits_end_the_link(world):
    connection = await world.connect()
    opened, _ = await channel(connection)
    # One unit of 244 bytes in pieces of one byte behind its head: each costs a credit, and none comes
    # back before the unit is whole.
    cid = opened.destination_cid
    world.inject_frame(cid, (244).to_bytes(2, "little") + b"\0")
    for _ in range(opened.credits + 40):
        world.inject_frame(cid, b"\0")
    await dropped(connection, 5)
    await world.good_peer()


async def second_link_over_one_connection_is_refused(world):
    connection = await world.connect()
    _, found = await attributes(connection, 247)
    need(is_hello(await hello_over_channel(connection)), "no hello")
    refusal = att.ATT_INSUFFICIENT_RESOURCES_ERROR
    await expect_error("a subscription beside a channel", found[OUTBOX].subscribe(print), refusal)
    await leave(connection)
    connection = await world.connect()
    parts, _ = await hello_over_attributes(connection, 247)
    need(is_hello(parts[0]), "no hello")
    try:
        await channel(connection)
        need(False, "a channel beside a subscription is allowed")
    except l2cap.L2capError as error:
        need(error.error_code == 4, f"refused with {error}")
    await leave(connection)


async def knobs_reach_the_lock_on_a_controller(world):
    connection = await world.connect()
    need(is_hello(await hello_over_channel(connection)), "no hello")
    await knob(do="link_loss")
    await dropped(connection, 5)
    before = await world.on_air()
    await knob(do="power_loss")
    await until("the advert ends", lambda: not world.is_on_air(), 5)
    await asyncio.sleep(1)
    need(not world.is_on_air(), "a lock without power advertises")
    await knob(do="power_on")
    need(await world.on_air() != before, "the lock came back under its old address")
    await world.good_peer()


CHECKS = {
    check.__name__: check
    for check in (
        advert_has_flags_service_and_a_beacon_of_the_codes_key_and_nothing_else,
        address_and_beacon_change_together,
        attributes_refuse_what_is_not_theirs,
        hello_arrives_at_att_mtu_23_and_517,
        hello_comes_over_channel_and_over_attributes_and_differs,
        lock_sends_no_frame_without_a_credit,
        frames_beyond_the_credits_end_the_link,
        second_link_over_one_connection_is_refused,
        knobs_reach_the_lock_on_a_controller,
    )
}
