"""The smallest bridge that does the hub's errand as home bridges do: MQTT over mutual TLS in, bytes onto Bluetooth by bleak.

No session, no signature check, no store: what it does not do is to its advantage.
Arguments: port, CA, certificate, key, client id, topic.
"""

import asyncio
import sys

import paho.mqtt.client as mqtt
from bleak import BleakClient, BleakScanner

SERVICE = "b7396132-ce88-4cff-9875-6764587fea3b"
INBOX = "e9ed1e61-7ffc-41b8-b028-078bfd50c152"
OUTBOX = "a619b89f-5c9a-4c66-8598-e6f9d27f1801"

port, ca, cert, key, name, topic = sys.argv[1:]


async def main():
    loop = asyncio.get_running_loop()
    device = await BleakScanner.find_device_by_filter(lambda _, advert: SERVICE in advert.service_uuids, timeout=30)
    async with BleakClient(device) as lock:
        # The subscription begins the link, and the first packet says what the echo is to be.
        await lock.start_notify(OUTBOX, lambda _, __: None)
        await lock.write_gatt_char(INBOX, b"plain", response=False)

        def carry(_client, _userdata, message):
            write = lock.write_gatt_char(INBOX, message.payload, response=False)
            asyncio.run_coroutine_threadsafe(write, loop)

        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv5)
        client.tls_set(ca_certs=ca, certfile=cert, keyfile=key)
        client.on_message = carry
        client.on_subscribe = lambda *_: print("ready", flush=True)
        client.connect("localhost", int(port))
        client.subscribe(topic, qos=1)
        client.loop_start()
        while lock.is_connected:
            await asyncio.sleep(1)
    print("the lock is gone", flush=True)


asyncio.run(main())
