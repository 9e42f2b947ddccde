# P02: COUNT round trips to the echo of a simulated lock, as the hub makes them and as a plain client does, over a channel and
# over GATT.
start_house
check echo_is_powered start_lock Front --echo
check adapter_is_on until_ok 30 power_on hci0

# echo_over LABEL [OPTION]: the figures' own program makes the round trips and says how long each took.
echo_over() {
    local label=$1
    shift
    drawbridge-figures echo "$COUNT" --code "$LOCKS/Front.code" --label "${label}_" "$@" >/run/told ||
        return 1
    grep '^VALUE ' /run/told >/dev/console
    say "$label is done" >/dev/console
}

check round_trips_over_a_channel echo_over channel
sleep 3
check round_trips_over_gatt echo_over gatt --gatt
