"""The smallest bridge that does the same errand in Python: MQTT over mutual TLS in, the bytes onto the air.

No session, no signature check, no store: what it does not do is to its advantage.
Arguments: port, CA, certificate, key, client id, topic, socket of the air.
"""

import socket
import struct
import sys

import paho.mqtt.client as mqtt

port, ca, cert, key, name, topic, air = sys.argv[1:]

link = socket.socket(socket.AF_UNIX)
link.connect(air)
link.recv(15)
link.sendall(struct.pack("<HBH", 3, ord("C"), 244))
link.recv(5)


def carry(_client, _userdata, message):
    """Packets of 244 bytes, as the hub cuts them."""
    body = message.payload
    for at in range(0, len(body), 244):
        packet = body[at : at + 244]
        link.sendall(struct.pack("<HB", 1 + len(packet), ord("D")) + packet)


def ready(_client, _userdata, _mid, _reasons, _properties):
    print("ready", flush=True)


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv5)
client.tls_set(ca_certs=ca, certfile=cert, keyfile=key)
client.on_message = carry
client.on_subscribe = ready
client.connect("localhost", int(port))
client.subscribe(topic, qos=1)
client.loop_forever()
