# F24: the system bus is killed ROUNDS times, which ends bluetoothd too; both are started again.
RANDOM=$SEED
start_house
start_ear
write_hub_config
check hub_is_up start_hub
check adapter_is_ready until_ok 60 hub_said event=adapter_ready
round=0
while [ "$round" -lt "$ROUNDS" ]; do
    round=$((round + 1))
    hub=$(hub_line)
    end dbus
    end ear
    check "loss_${round}_is_noticed" until_ok 30 hub_said_after "$hub" event=bluetooth_away
    # bluetoothd ends by itself when its bus does.
    until_ok 20 is_gone bluetoothd || end bluetoothd
    usleep $((RANDOM % 500 * 1000))
    check "bus_${round}_is_back" start_bus
    : >/var/log/ear
    start_ear
    ear=$(ear_line) hub=$(hub_line)
    start_bluetoothd
    until_ok 60 heard_after "$ear" NameOwnerChanged 1
    check "return_${round}_is_noticed" until_ok 60 hub_said_after "$hub" event=adapter_ready
    value "told_$round" "$(heard_time "$ear" NameOwnerChanged)"
    value "ready_$round" "$(hub_time "$hub" event=adapter_ready)"
done
check broker_was_never_lost test "$(grep -c event=broker_down /var/log/hub)" = 0
check hub_was_never_restarted test "$(grep -c 'event=ready ' /var/log/hub)" = 1
