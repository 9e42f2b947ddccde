# P01: COUNT commands through the hub to a lock, and the same bytes through a bridge of bleak and paho to an echo.
start_house
check adapter_is_on until_ok 30 power_on hci0
start ways drawbridge-figures ways "$COUNT" --name Front --house "$HOUSE" --taps /run/taps --ready /run/ready --capture /run/air.snoop
check taps_are_up until_ok 20 test -s /run/taps
read -r hub_port bridge_port </run/taps
# Before the bridge: a hub that starts ends connections to locks that it has no link with.
HUB_LOG=info
write_hub_config
sed -i "s/^host = .*/&\nport = $hub_port/" /etc/drawbridge/drawbridge.toml
check hub_is_up start_hub
# The bridge takes the first lock that it hears: the echo is alone in the air until then.
check echo_is_powered start_lock Echo --echo
start bridge python3 /bench/bridge.py "$bridge_port" "$HOUSE/ca.pem" "$HOUSE/beside.pem" "$HOUSE/beside.key" h2 'drawbridge/h2/lock/+/command'
check bridge_is_ready until_ok 120 grep -q ready /var/log/bridge
check lock_is_powered start_lock Front
check owner_has_keys drawbridge owner init --json
check lock_is_claimed claim Front
until_ok 60 hub_said event=bond_made
sleep 3
start btmon btmon -w /run/air.snoop
sleep 1
lock_id Front >/run/ready
until_ok 1500 is_gone ways
grep '^VALUE ' /var/log/ways
check both_ways test "$(grep -c '^VALUE ' /var/log/ways)" = 2
