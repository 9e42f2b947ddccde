# F02: the hub starts without an adapter; then its adapter comes, goes and comes ROUNDS times, falls mute, and comes under another
# number. It has a lock to look for: an adapter that nobody needs is asked nothing, and nobody could tell that it is mute.
start_empty_house
start_ear
ADDRESS=DA:4C:10:DE:00:00
write_hub_config "adapters = [\"$ADDRESS\"]"
check hub_is_up_without_an_adapter start_hub

# adopted NAME HCI: a controller is plugged in as HCI; the hub must say that it is ready.
adopted() {
    local ear hub
    ear=$(ear_line) hub=$(hub_line)
    start_controller "$1"
    until_ok 60 heard_after "$ear" InterfacesAdded 1 || return 1
    until_ok 60 hub_said_after "$hub" "event=adapter_ready address=$ADDRESS name=$2" || return 1
    told=$(heard_time "$ear" InterfacesAdded) ready=$(hub_time "$hub" event=adapter_ready)
}

# It is unplugged; the hub must notice, and live.
missed() {
    local hub
    hub=$(hub_line)
    end "$1"
    until_ok 60 hub_said_after "$hub" event=adapter_gone
}

check absent_at_boot_is_adopted adopted controller0 hci0
value told_0 "$told"
value ready_0 "$ready"
# After the adapter: the air gives addresses in order, and the first is the one that the hub shall have.
check Front_is_powered start_lock Front
check owner_has_keys drawbridge owner init --json
check app_listens start_listener
check Front_is_claimed claim Front
round=0
while [ "$round" -lt "$ROUNDS" ]; do
    round=$((round + 1))
    check "unplugged_${round}_is_missed" missed controller0
    check "plugged_in_${round}_is_adopted" adopted controller0 hci0
    value "told_$round" "$told"
    value "ready_$round" "$ready"
done
# Mute: it is there and answers nothing, until it is pulled out.
hub=$(hub_line)
kill -STOP "$(cat /run/controller0.pid)"
check mute_is_noticed until_ok 60 hub_said_after "$hub" event=adapter_gone
say "the mute one is noticed"
end controller0
check plugged_in_after_mute_is_adopted adopted controller0 hci0
value told_mute "$told"
value ready_mute "$ready"
# Renumbered: while it is away a stranger takes its number. The air gives addresses in order, so somebody holds ours meanwhile.
check unplugged_for_renumbering_is_missed missed controller0
mkfifo /run/hold
# From a pipe that is open to write too: it never ends.
nc 127.0.0.1 "$HUB_PORT" <>/run/hold >/dev/null 2>&1 &
echo $! >/run/place.pid
sleep 1
hub=$(hub_line)
start_controller stranger
check stranger_takes_the_number until_ok 30 has_adapter hci0
check stranger_has_another_address test "$(adapter_property hci0 Address | tr -d ' ')" != "$ADDRESS"
end place
check renumbered_is_adopted adopted controller0 hci1
value told_renumbered "$told"
value ready_renumbered "$ready"
adoptions=$(tail -n "+$hub" /var/log/hub | grep -c 'event=adapter_ready')
check hub_still_obeys obeyed Front unlock
check stranger_is_left_alone test "$adoptions" = 1
check broker_was_never_lost test "$(grep -c event=broker_down /var/log/hub)" = 0
check hub_was_never_restarted test "$(grep -c 'event=ready ' /var/log/hub)" = 1
