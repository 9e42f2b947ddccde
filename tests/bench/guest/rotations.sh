# Two bonded locks that nobody commands, while their addresses change; what the hub's controller hears is recorded.
NAMES="Frontdoor Gardengate"
start_house
check capture_runs start_capture
write_hub_config
for name in $NAMES; do check "${name}_is_powered" start_lock "$name" --address-every "$ADDRESS_EVERY_S"; done
check hub_is_up start_hub
check owner_has_keys drawbridge owner init --json
for name in $NAMES; do check "${name}_is_claimed" claim "$name"; done
# Identity (22 bytes), then bonds.
is_bonded() { [ "$(wc -c <"$LOCKS/$1.flash.bonds")" -gt 22 ]; }
for name in $NAMES; do check "${name}_is_bonded" until_ok 20 is_bonded "$name"; done
say "bonded, and idle from here on"
value idle_from_us "$(date +%s)000000"
# The hub listens when it misses a lock; somebody with a scanner listens again and again.
start scanner bluetoothctl --timeout "$IDLE_S" scan on
sleep "$IDLE_S"
value idle_to_us "$(date +%s)000000"
for name in $NAMES; do check "${name}_tells_its_state" drawbridge state "$name" --json; done
check capture_is_written finish btmon
file air /run/air.btsnoop
for name in $NAMES; do value "code_$name" "$(cat "$LOCKS/$name.code")"; done
