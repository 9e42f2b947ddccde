"""What no well-behaved peer or controller says. After each piece a fresh peer must be served."""

import asyncio
import random

from world import channel, dropped, is_hello, is_over, leave, need, until

# Signals: code, identifier, length, words.
DISCONNECT, DISCONNECTED, OPEN, OPENED, CREDITS = 0x06, 0x07, 0x14, 0x15, 0x16
SIGNALS, ATT, SMP = 5, 4, 6


def signal(code: int, *words: int) -> bytes:
    body = b"".join(word.to_bytes(2, "little") for word in words)
    return bytes([code, 1]) + len(body).to_bytes(2, "little") + body


async def survived(world, connection, what="") -> None:
    """Whatever became of the connection, a fresh peer is served."""
    print(f"after {what}", flush=True)
    await asyncio.sleep(0.05)
    if not is_over(connection):
        await leave(connection)
    await world.good_peer()


async def s13_malformed_l2cap_is_survived(world):
    own = 0x40
    frames = [
        signal(DISCONNECT, 0, 0),
        signal(DISCONNECT, own, 0),
        signal(DISCONNECTED, 0, 0),
        signal(DISCONNECTED, own, own),
        signal(OPEN, 0x88, 0x50, 2, 23, 1),
        signal(OPEN, 0x88, 0x50, 23, 2, 1),
        signal(OPEN, 0x88, 0x50, 0, 0, 0),
        signal(OPEN, 0x88, 1, 100, 100, 1),
        signal(OPENED, own, 2, 2, 1, 0),
        signal(CREDITS, own, 0xFFFF),
        signal(CREDITS, 0, 0),
        bytes([OPEN, 1, 10, 0, 1, 2]),
        bytes([1, 0, 0, 0]),
        bytes([0xFF] * 23),
        bytes([0x12, 1, 8, 0] + [0] * 8),
        b"\x06",
    ]
    for frame in frames:
        connection = await world.connect()
        world.inject_frame(SIGNALS, frame)
        await survived(world, connection, frame.hex())
    # A channel's frames: one byte, nothing, too long, for a channel that is not there.
    for cid, frame in ((None, b"\x01"), (None, b""), (None, b"\xff\xff\0"), (None, b"\0\0"), (0x41, b"\x01")):
        connection = await world.connect()
        opened, _ = await channel(connection)
        world.inject_frame(cid or opened.destination_cid, frame)
        await survived(world, connection, f"{cid} {frame.hex()}")
    # ACL data: shorter than a header, longer than its frame, a second piece without a first.
    pieces = [
        (b"", False),
        (b"\x01", False),
        (b"\x03\0\x04", False),
        (b"\0\0\x04\0", False),
        (b"\x01\0\x04\0\x02\x17\0", False),
        (b"\xff\xff\x04\0\x01", False),
        (b"\x05", True),
        (b"", True),
    ]
    for data, continuing in pieces:
        connection = await world.connect()
        world.inject_acl(data, continuing)
        await survived(world, connection, f"{data.hex()} {continuing}")
    await one_link_cannot_touch_the_other(world)


async def one_link_cannot_touch_the_other(world):
    first = await world.connect()
    opened, packets = await channel(first)
    need(is_hello(await asyncio.wait_for(packets.get(), 5)), "no hello")
    second = await world.connect()
    handle = world.handle_in_lock()
    cid = opened.destination_cid
    world.inject_frame(cid, (4).to_bytes(2, "little") + b"\xc0\x01\0\0", handle=handle)
    world.inject_frame(SIGNALS, signal(DISCONNECT, cid, opened.source_cid), handle=handle)
    await asyncio.sleep(3)
    # Had the frame arrived, the core would have dropped the first link 2 s after it.
    need(not is_over(first), "a frame on one link reached the other's channel")
    await leave(second)
    await survived(world, first)


async def s13_malformed_att_is_survived(world):
    frames = [bytes([0x02, 0, 0]), bytes([0x02, 22, 0]), bytes([0x02]), bytes([0x03, 1, 0])]
    chance = random.Random(13)
    for opcode in [*range(0x01, 0x24), 0x52, 0xD2, 0xFF]:
        for length in (0, 1, 3, 5, 22):
            frames.append(bytes([opcode]) + chance.randbytes(length))
    connection = await world.connect()
    for at, frame in enumerate(frames):
        if is_over(connection) or not world.lock.le_connections:
            connection = await world.connect()
        world.inject_frame(ATT, frame)
        await asyncio.sleep(0.01)
        if at % 50 == 0:
            await survived(world, connection)
            connection = await world.connect()
    await survived(world, connection)


async def s13_malformed_smp_is_survived(world):
    request = bytes([1, 2, 0, 0x0D, 16, 3, 3])
    chance = random.Random(12)
    frames = [[request[:length]] for length in range(1, 7)]
    frames += [[request + b"\0"], [b"\x05\xff"], [b"\x0b\x01"], [b"\0"], [b"\xff" * 65]]
    for code in range(1, 15):
        frames += [[bytes([code]) + chance.randbytes(length)] for length in (0, 1, 6, 16, 64)]
    # In the middle of a pairing: a public key that is no point, and each message out of its turn.
    frames += [[request, b"\x0c" + bytes(64)], [request, b"\x0c" + b"\xff" * 64]]
    frames += [[request, bytes([code]) + bytes(16)] for code in (3, 4, 6, 8, 0x0D)]
    frames += [[request, request]]
    connection = await world.connect()
    for at, parts in enumerate(frames):
        if is_over(connection) or not world.lock.le_connections:
            connection = await world.connect()
        handle = world.handle_in_lock()
        for part in parts:
            world.inject_frame(SMP, part, handle)
            await asyncio.sleep(0.02)
        if at % 20 == 0:
            await survived(world, connection)
            connection = await world.connect()
    await survived(world, connection)


async def s13_malformed_hci_is_survived(world):
    events = [
        "3e00",
        "3e0101",
        "3e0a01004000010105050505",
        "3e020540",
        "0503004000",
        "050400ffff13",
        "130102",
        "1305024000010000",
        "0801ff",
        "30020040",
        "ff0101",
        "1001ff",
        # A link that is there already, one as central, and one that failed.
        "3e13010001000101060606060606c01800000002a0000"[:42],
    ]
    for event in events:
        connection = await world.connect()
        world.inject(b"\x04" + bytes.fromhex(event))
        await survived(world, connection, event)
    # Data for a link that nobody made, and of a kind that nobody asked for.
    world.inject_acl(b"\x03\0\x04\0\x02\x17\0", handle=0xEFF)
    world.inject(b"\x03\x01\x00\x01\x00")
    await world.good_peer()
    # A packet of no kind at all: the radio starts anew.
    before = world.resets
    world.inject(b"\x77\x01\x02\x03")
    await until("the radio starts anew", lambda: world.resets > before)
    await world.good_peer()


async def s13_mute_controller_is_reset_within_10_s(world):
    before = world.resets
    usual = world.lock.on_packet

    def on_packet(packet):
        # A reset brings it back.
        if packet[:3] == b"\x01\x03\x0c" or world.resets > before:
            usual(packet)

    world.transport.source.set_packet_sink(type("Mute", (), {"on_packet": staticmethod(on_packet)}))
    await until("a reset", lambda: world.resets > before, 10)
    await world.good_peer()


CHECKS = {
    check.__name__: check
    for check in (
        s13_malformed_l2cap_is_survived,
        s13_malformed_att_is_survived,
        s13_malformed_smp_is_survived,
        s13_malformed_hci_is_survived,
        s13_mute_controller_is_reset_within_10_s,
    )
}
