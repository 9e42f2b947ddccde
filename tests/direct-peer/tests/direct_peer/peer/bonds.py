"""Pairing at the link: what bonds, and what is refused."""

import asyncio
import os

from bumble import core, hci, smp
from bumble.keys import MemoryKeyStore
from bumble.pairing import PairingConfig, PairingDelegate

from world import BONDS, PASSKEY, is_over, knob, leave, need, until

IDENTITY = 22
BOND = 39
KEYBOARD = PairingDelegate.IoCapability.KEYBOARD_INPUT_ONLY
NOTHING = PairingDelegate.IoCapability.NO_OUTPUT_NO_INPUT


class Typist(PairingDelegate):
    """Types this number."""

    def __init__(self, number: int, io_capability, key_size: int = 16):
        super().__init__(io_capability)
        self.number = number
        self.maximum_encryption_key_size = key_size

    async def get_number(self):
        return self.number


def bonds() -> int:
    return (os.path.getsize(BONDS) - IDENTITY) // BOND


async def pair(connection, number=PASSKEY, io=KEYBOARD, sc=True, mitm=True, key_size=16):
    delegate = Typist(number, io, key_size)
    config = PairingConfig(sc=sc, mitm=mitm, bonding=True, delegate=delegate)
    connection.device.pairing_config_factory = lambda _: config
    await asyncio.wait_for(connection.pair(), 15)


async def refused(world, reasons, **how):
    connection = await world.connect()
    try:
        await pair(connection, **how)
        need(False, "the pairing was accepted")
    except core.ProtocolError as error:
        need(error.error_code in reasons, f"refused with {error}")
    await asyncio.sleep(0.3)
    need(bonds() == 0, "a bond was kept")
    need(not is_over(connection), "the link went down with the pairing")
    await leave(connection)
    # The bond is no boundary: without it the lock serves as before.
    await world.good_peer()


async def s12_right_passkey_bonds_and_the_bond_survives_a_restart_of_the_radio(world):
    device = await world.device(MemoryKeyStore())
    connection = await world.connect(device)
    await pair(connection)
    await until("a bond is kept", lambda: bonds() == 1, 5)
    need(connection.is_encrypted, "the link is not encrypted")
    keys = (await device.keystore.get_all())[0][1]
    need(keys.irk is not None, "the lock gave no key for its addresses")
    need(keys.ltk.authenticated, "the key is not an authenticated one")
    resolver = smp.AddressResolver([(keys.irk.value, hci.Address("C0:00:00:00:00:00"))])
    await leave(connection)
    await world.on_air()
    need(resolver.resolve(world.lock.random_address), "the key does not resolve the lock's address")
    # The radio starts anew on a controller that was reset, as after a power cut of the lock.
    before = world.resets
    world.transport.sink.transport.close()
    await until("the radio starts anew", lambda: world.resets > before)
    need(resolver.resolve(await world.on_air()), "the lock is somebody else after a restart")
    need(bonds() == 1, "the bond is gone")
    connection = await world.connect(device)
    ltk = keys.ltk.value
    await device.host.send_async_command(
        hci.HCI_LE_Enable_Encryption_Command(
            connection_handle=connection.handle,
            random_number=bytes(8),
            encrypted_diversifier=0,
            long_term_key=ltk,
        )
    )
    await until("the link is encrypted with the old key", lambda: connection.is_encrypted, 5)
    await leave(connection)


async def factory_reset_forgets_bonds_and_key(world):
    device = await world.device(MemoryKeyStore())
    connection = await world.connect(device)
    await pair(connection)
    await until("a bond is kept", lambda: bonds() == 1, 5)
    keys = (await device.keystore.get_all())[0][1]
    resolver = smp.AddressResolver([(keys.irk.value, hci.Address("C0:00:00:00:00:00"))])
    need(resolver.resolve(world.lock.random_address), "the key does not resolve the lock's address")
    before = world.resets
    await knob(do="button", held_ms=10_000)
    await until("the radio starts anew", lambda: world.resets > before)
    address = await world.on_air()
    need(resolver.resolve(address) is None, "the old key still resolves the lock's address")
    need(bonds() == 0, "the bond survived")
    await world.good_peer()


async def tenth_bond_takes_the_place_of_the_oldest(world):
    for number in range(11):
        connection = await world.connect(await world.device(MemoryKeyStore()))
        await pair(connection)
        await until("the bond is kept", lambda: bonds() == min(number + 1, 9), 5)
        await asyncio.sleep(0.3)
        if number == 9:
            kept = open(BONDS, "rb").read()[IDENTITY:]
        await leave(connection)
    now = open(BONDS, "rb").read()[IDENTITY:]
    need(now[: 8 * BOND] == kept[BOND:], "another one than the oldest went")
    need(now[8 * BOND :] not in kept, "the newest was not kept")


async def s12_wrong_passkey_is_refused(world):
    reasons = [smp.SMP_CONFIRM_VALUE_FAILED_ERROR]
    await refused(world, reasons, number=(PASSKEY + 1) % 1_000_000)


async def s12_just_works_is_refused(world):
    reasons = [smp.SMP_AUTHENTICATION_REQUIREMENTS_ERROR]
    await refused(world, reasons, io=NOTHING, mitm=False)
    await refused(world, reasons, io=NOTHING, mitm=True)


async def s12_legacy_pairing_is_refused(world):
    await refused(world, [smp.SMP_AUTHENTICATION_REQUIREMENTS_ERROR], sc=False)


async def s12_short_keys_are_refused(world):
    reasons = [smp.SMP_ENCRYPTION_KEY_SIZE_ERROR, smp.SMP_AUTHENTICATION_REQUIREMENTS_ERROR]
    for key_size in (7, 15):
        await refused(world, reasons, key_size=key_size)


CHECKS = {
    check.__name__: check
    for check in (
        s12_right_passkey_bonds_and_the_bond_survives_a_restart_of_the_radio,
        factory_reset_forgets_bonds_and_key,
        tenth_bond_takes_the_place_of_the_oldest,
        s12_wrong_passkey_is_refused,
        s12_just_works_is_refused,
        s12_legacy_pairing_is_refused,
        s12_short_keys_are_refused,
    )
}
