# Three locks, or those of NAMES, paired by the codes on them and commanded by a foreign app.
NAMES=${NAMES:-Front Back Gate}
start_house
write_hub_config "gatt_only = ${GATT_ONLY:-false}"
number=0
for name in $NAMES; do
    number=$((number + 1))
    if [ -n "${USER_CHANNELS:-}" ]; then
        LOCK_HCI=user:hci$number
        check "${name}_has_an_adapter" lend_adapter "hci$number"
    fi
    check "${name}_is_powered" start_lock "$name"
    if [ -n "${USER_CHANNELS:-}" ]; then check "${name}_has_it_alone" until_ok 10 is_taken "hci$number"; fi
done
check hub_is_up start_hub
check owner_has_keys drawbridge owner init --json
check app_listens start_listener
say "house is up"
for name in $NAMES; do
    value "code_$name" "$(cat "$LOCKS/$name.code")"
    check "${name}_is_claimed" claim "$name"
    say "$name is claimed"
done
# Which bearer it is, by the kernel's own list.
cat /sys/kernel/debug/bluetooth/l2cap >/var/log/l2cap
value channels "$(lock_channels)"
for name in $NAMES; do
    for action in unlock lock; do
        before=$(motor_starts "$name")
        from=$(uptime_ms)
        check "${name}_${action}_has_an_end" obeyed "$name" "$action"
        value "ms_${name}_$action" $(($(uptime_ms) - from))
        value "command_${name}_$action" "$command"
        value "result_${name}_$action" "$(final_of "$command")"
        value "turns_${name}_$action" $(($(motor_starts "$name") - before))
        value "bolt_${name}_$action" "$(bolt "$name")"
    done
done
for name in $NAMES; do
    check "${name}_tells_its_state" drawbridge state "$name" --json
    check "${name}_log_is_whole" drawbridge lock log "$name" --local --json
    value "log_$name" "$said"
done
