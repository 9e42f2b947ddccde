# Two controllers of the air, both managed by BlueZ.
check bus_is_up start_bus
start_bluetoothd
check air_is_up start_air
start_controller controller0
start_controller controller1
check bluez_is_on_the_bus until_ok 30 has_bluez
for adapter in hci0 hci1; do
    check "${adapter}_is_known" until_ok 30 has_adapter "$adapter"
    check "${adapter}_is_switched_on" until_ok 10 power_on "$adapter"
    check "${adapter}_says_that_it_is_on" until_ok 10 is_powered "$adapter"
done
say "two controllers are managed"
first=$(adapter_property hci0 Address) second=$(adapter_property hci1 Address)
check addresses_differ test "$first" != "$second"
# One sees the other: the air carries. A discovery lasts as long as who asked for it.
dbus-send --system --print-reply --dest=org.bluez /org/bluez/hci0 org.freedesktop.DBus.Properties.Set \
    string:org.bluez.Adapter1 string:Discoverable variant:boolean:true >/dev/null
{
    echo "select $(echo "$second" | tr -d ' ')"
    echo 'scan on'
    sleep 30
} | bluetoothctl >/var/log/bluetoothctl 2>&1 &
hears() {
    dbus-send --system --print-reply --dest=org.bluez / org.freedesktop.DBus.ObjectManager.GetManagedObjects |
        grep -q "/org/bluez/hci1/dev_$(echo "$first" | tr -d ' ' | tr : _)"
}
check one_hears_the_other until_ok 30 hears
