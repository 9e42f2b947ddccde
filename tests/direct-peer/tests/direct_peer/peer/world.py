"""A piece of air: the lock's controller, and hosts that talk to the lock over it."""

import asyncio
import hashlib
import hmac
import json
import os

from bumble import core, hci, l2cap
from bumble.controller import Controller
from bumble.device import Device, DeviceConfiguration, Peer
from bumble.host import Host
from bumble.link import LocalLink
from bumble.transport.tcp_server import open_tcp_server_transport

SERVICE = core.UUID("b7396132-ce88-4cff-9875-6764587fea3b")
INFO = core.UUID("ea21bd17-176d-45ef-a4bf-bcf555130d61")
INBOX = core.UUID("e9ed1e61-7ffc-41b8-b028-078bfd50c152")
OUTBOX = core.UUID("a619b89f-5c9a-4c66-8598-e6f9d27f1801")
PSM = 0x88

PASSKEY = int(os.environ["LOCK_PASSKEY"])
BEACON_KEY = bytes.fromhex(os.environ["LOCK_BEACON_KEY"])
ADDRESS_EVERY = int(os.environ["LOCK_ADDRESS_EVERY"])
BONDS = os.environ["LOCK_BONDS"]
CONTROL = os.environ["LOCK_CONTROL"]


class Channel(l2cap.LeCreditBasedChannel):
    """Keeps what comes from the first moment on: the lock speaks as soon as the channel is open."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.packets = asyncio.Queue()
        self.sink = self.packets.put_nowait


l2cap.LeCreditBasedChannel = Channel


class Failed(AssertionError):
    pass


def need(is_so, what: str) -> None:
    if not is_so:
        raise Failed(what)


async def until(what: str, is_so, seconds: float = 10.0) -> None:
    """Waits until `is_so()`."""
    end = asyncio.get_running_loop().time() + seconds
    while not is_so():
        need(asyncio.get_running_loop().time() < end, f"not within {seconds} s: {what}")
        await asyncio.sleep(0.02)


class World:
    def __init__(self):
        self.link = LocalLink()
        self.peers = 0

    @classmethod
    async def start(cls, port: int) -> "World":
        world = cls()
        world.transport = await open_tcp_server_transport(f"127.0.0.1:{port}")
        world.lock = Controller(
            "lock",
            host_source=world.transport.source,
            host_sink=world.transport.sink,
            link=world.link,
            public_address="F0:F1:F2:F3:F4:F5/P",
        )
        world.resets = 0
        usual = world.lock.on_hci_reset_command

        def reset(command):
            # What the standard wants of a reset and this controller does not do.
            world.resets += 1
            world.lock.le_legacy_advertiser.stop()
            world.lock.le_connections.clear()
            return usual(command)

        world.lock.on_hci_reset_command = reset

        def remove(command):
            # Not known to it, and it answers nothing to what it does not know.
            world.lock.send_hci_packet(
                hci.HCI_Command_Complete_Event(
                    num_hci_command_packets=1,
                    command_opcode=command.op_code,
                    return_parameters=hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.SUCCESS),
                )
            )

        world.lock.on_hci_le_remove_device_from_resolving_list_command = remove
        world.filter()
        await world.on_air()
        return world

    def filter(self) -> None:
        """What the standard wants of a list of peers to answer and the lock's controller does not do."""
        listed = []
        succeeded = hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.SUCCESS)
        connect = self.lock.on_le_connect_ind

        def clear(_command):
            listed.clear()
            return succeeded

        def add(command):
            listed.append(command.address)
            return succeeded

        def answer(packet):
            if self.is_open() or packet.initiator_address in listed:
                connect(packet)

        self.lock.on_hci_le_clear_filter_accept_list_command = clear
        self.lock.on_hci_le_add_device_to_filter_accept_list_command = add
        self.lock.on_le_connect_ind = answer

    def is_open(self) -> bool:
        """Whether the lock's controller lets everybody connect."""
        return self.lock.le_legacy_advertiser.advertising_filter_policy == 0

    async def advertises_to(self, everybody: bool, seconds: float = 10.0) -> None:
        """Waits for an advert to everybody, or to those listed alone."""
        to = "everybody" if everybody else "bonded peers"
        await until(f"an advert to {to}", lambda: self.is_on_air() and self.is_open() == everybody, seconds)

    async def on_air(self, seconds: float = 15.0):
        """Waits until the lock advertises; answers its address."""
        await until("an advert", lambda: self.is_on_air(), seconds)
        return self.lock.random_address

    def is_on_air(self) -> bool:
        return self.lock.le_legacy_advertiser.enabled

    def advert(self) -> bytes:
        return bytes(self.lock.le_legacy_advertiser.advertising_data)

    def response(self) -> bytes:
        return bytes(self.lock.le_legacy_advertiser.scan_response_data)

    async def device(self, keystore=None) -> Device:
        """A new host with a controller and an address of its own."""
        self.peers += 1
        controller = Controller(f"peer {self.peers}", link=self.link)
        host = Host()
        host.controller = controller
        address = hci.Address(f"C1:C2:C3:C4:C5:{self.peers:02X}")
        device = Device(config=DeviceConfiguration(name="peer", address=address), host=host)
        device.keystore = keystore
        await device.power_on()
        return device

    async def connect(self, device: Device | None = None):
        """A connection to the lock; answers it and its device's view of the lock."""
        device = device or await self.device()
        address = await self.on_air()
        connection = await asyncio.wait_for(device.connect(address), 10)
        return connection

    async def good_peer(self) -> None:
        """A well-behaved peer gets its hello over a channel, and leaves."""
        connection = await self.connect()
        hello = await hello_over_channel(connection)
        need(is_hello(hello), f"no hello: {hello.hex()}")
        await leave(connection)

    def handle_in_lock(self) -> int:
        """The handle under which the lock knows the connection that was made last."""
        connections = list(self.lock.le_connections.values())
        need(connections, "the lock has no connection")
        return connections[-1].handle

    def inject(self, packet: bytes) -> None:
        """Says something to the lock as its controller, byte for byte."""
        self.lock.host.on_packet(packet)

    def inject_acl(self, data: bytes, continuing: bool = False, handle: int | None = None) -> None:
        handle = self.handle_in_lock() if handle is None else handle
        flags = 1 if continuing else 2
        head = (handle | flags << 12).to_bytes(2, "little") + len(data).to_bytes(2, "little")
        self.inject(b"\x02" + head + data)

    def inject_frame(self, cid: int, frame: bytes, handle: int | None = None) -> None:
        length = len(frame).to_bytes(2, "little")
        self.inject_acl(length + cid.to_bytes(2, "little") + frame, handle=handle)


def is_hello(packet: bytes) -> bool:
    """A single first and last fragment with a map of five, among them the channel's number."""
    return len(packet) > 20 and packet[4:5] == b"\xa5" and bytes.fromhex("041888") in packet


def is_beacon(beacon: bytes) -> bool:
    tag = hmac.new(BEACON_KEY, beacon[:4], hashlib.sha256).digest()[:8]
    return len(beacon) == 12 and beacon[4:] == tag


async def knob(**request) -> dict:
    """Asks the simulated lock on its control socket."""
    reader, writer = await asyncio.open_unix_connection(CONTROL)
    writer.write(json.dumps(request).encode() + b"\n")
    answer = json.loads(await reader.readline())
    writer.close()
    need(answer.get("ok"), f"{request}: {answer}")
    return answer


async def channel(connection, mtu: int = 244, mps: int = 247, credits: int = 16):
    """A channel to the lock and the queue of what comes over it."""
    spec = l2cap.LeCreditBasedChannelSpec(psm=PSM, mtu=mtu, mps=mps, max_credits=credits)
    opened = await asyncio.wait_for(connection.create_l2cap_channel(spec), 10)
    return opened, opened.packets


async def hello_over_channel(connection) -> bytes:
    _, packets = await channel(connection)
    return await asyncio.wait_for(packets.get(), 5)


async def attributes(connection, mtu: int | None = None):
    """The lock's characteristics by UUID, after an exchange of MTUs if one is given."""
    peer = Peer(connection)
    if mtu is not None:
        await peer.request_mtu(mtu)
    await peer.discover_services()
    found = {}
    for service in peer.services:
        await service.discover_characteristics()
        for one in service.characteristics:
            found[one.uuid] = one
    return peer, found


async def leave(connection) -> None:
    await connection.disconnect()
    await asyncio.sleep(0.1)


async def dropped(connection, seconds: float) -> None:
    """Waits until the lock has ended the connection."""
    await until("the lock ends the connection", lambda: is_over(connection), seconds)


def is_over(connection) -> bool:
    return connection.handle not in connection.device.connections
