# The air, and BlueZ on the hub's side of it.

# RootCanal: 6401 to 6404 are its own test and link ports, whatever its configuration says. Seen: 1.13. So: others.
HUB_PORT=6410
LOCK_PORT=6411
# btvirt: a controller that it gives the kernel itself (-l) scans as Bluetooth 5 has it, and hears nothing of one that
# advertises as Bluetooth 4 has it but the moment in which it begins. Seen: 5.82. So: those of its socket, of Bluetooth 4.
BTVIRT=/tmp/bt-server-bredrle

start_bus() {
    # What a killed one leaves: its socket would be taken for the new one's.
    rm -f /run/dbus/pid /run/dbus/system_bus_socket
    start dbus dbus-daemon --system --nofork --nopidfile
    until_ok 20 test -S /run/dbus/system_bus_socket
}

start_bluetoothd() { start bluetoothd /usr/libexec/bluetooth/bluetoothd --nodetach; }

# BlueZ's name on the bus.
has_bluez() {
    dbus-send --system --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.NameHasOwner string:org.bluez |
        grep -q 'boolean true'
}

# Two kinds of controller: the hub's, as Linux likes it, and the locks'. AIR=btvirt: BlueZ's own emulator, which makes each as
# it is asked for.
start_air() {
    if [ "${AIR:-}" = btvirt ]; then
        start btvirt btvirt -s
        until_ok 60 test -S "$BTVIRT"
        return
    fi
    # RootCanal: in strict mode it aborts when Linux sends Write Authenticated Payload Timeout. Seen: 1.13. So: not strict.
    cat >/run/air.config <<END
tcp_server { tcp_port: $HUB_PORT configuration { preset: DEFAULT strict: false } }
tcp_server { tcp_port: $LOCK_PORT configuration { preset: LAIRD_BL654 strict: false } }
END
    # It tells of each packet, more than memory holds; what remains is told by BlueZ and the locks.
    (cd /run && rootcanal -configuration_file /run/air.config >/dev/null 2>&1 </dev/null & echo $! >/run/rootcanal.pid)
    until_ok 60 listening "$HUB_PORT" && until_ok 60 listening "$LOCK_PORT"
}

listening() { grep -q "$(printf ':%04X 00000000:0000 0A' "$1")" /proc/net/tcp /proc/net/tcp6; }

# start_controller NAME: one more controller of the hub, until /run/NAME.pid ends.
start_controller() {
    local place=127.0.0.1:$HUB_PORT
    if [ "${AIR:-}" = btvirt ]; then place=$BTVIRT; fi
    start "$1" vhci-bridge "$place"
}

# One property of one adapter, as BlueZ tells it: adapter_property hci0 Address.
adapter_property() {
    dbus-send --system --print-reply=literal --dest=org.bluez "/org/bluez/$1" org.freedesktop.DBus.Properties.Get \
        string:org.bluez.Adapter1 "string:$2" | sed 's/^ *variant *//'
}

has_adapter() { adapter_property "$1" Address | grep -q ':'; }

is_powered() { adapter_property "$1" Powered | grep -q 'true'; }

power_on() { set_powered "$1" true; }

set_powered() {
    dbus-send --system --print-reply --dest=org.bluez "/org/bluez/$1" org.freedesktop.DBus.Properties.Set \
        string:org.bluez.Adapter1 string:Powered "variant:boolean:$2"
}

# lend_adapter NAME: one more controller, which the kernel calls NAME and which a program can have for itself: it is down.
lend_adapter() {
    start_controller "$1"
    until_ok 30 has_adapter "$1" && set_powered "$1" false && until_ok 10 is_down "$1"
}

is_down() { adapter_property "$1" Powered | grep -q 'false'; }

# A program has it: BlueZ knows it no more.
is_taken() { ! has_adapter "$1"; }

# What the bus tells of names and adapters, each with its time; start_ear again after the bus was.
start_ear() {
    start ear dbus-monitor --system --profile "type='signal',member='NameOwnerChanged',arg0='org.bluez'" \
        "type='signal',sender='org.bluez',member='InterfacesAdded'"
    until_ok 10 grep -q NameAcquired /var/log/ear
}

# ear_line: where it goes on. heard_after LINE WORDS COUNT and heard_time LINE WORDS: whether it was told so often, and when
# last, in milliseconds since 1970.
ear_line() { echo $(($(wc -l </var/log/ear) + 1)); }

heard_after() { [ "$(tail -n "+$1" /var/log/ear | grep -c -e "$2")" -ge "$3" ]; }

heard_time() { tail -n "+$1" /var/log/ear | grep -e "$2" | tail -n 1 | cut -f 2 | sed 's/\.\(...\).*/\1/'; }

# How many L2CAP channels of the locks' PSM (0x88) the kernel holds connected: state 1, PSM 136.
lock_channels() { grep -c ' 1 136 0x' /sys/kernel/debug/bluetooth/l2cap; }

# What the hub's controllers hear and say, from now on, in /run/air.btsnoop; until `finish btmon`.
start_capture() {
    # It also prints what it records, decoded: more than memory holds.
    btmon -w /run/air.btsnoop >/dev/null 2>&1 </dev/null &
    echo $! >/run/btmon.pid
    # The kernel greets whoever listens: more than the file's header is there.
    until_ok 10 recording
}

recording() { [ "$(wc -c </run/air.btsnoop)" -gt 16 ]; }
