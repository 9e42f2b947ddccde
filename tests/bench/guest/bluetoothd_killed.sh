# F01: bluetoothd is killed under commands, ROUNDS times, and started again.
RANDOM=$SEED
start_house
write_hub_config
check lock_is_powered start_lock Front
check hub_is_up start_hub
check owner_has_keys drawbridge owner init --json
check app_listens start_listener
value code_Front "$(cat "$LOCKS/Front.code")"
check lock_is_claimed claim Front
start_ear
say "house is up"
round=0 action=lock
while [ "$round" -lt "$ROUNDS" ]; do
    round=$((round + 1))
    if [ "$action" = lock ]; then action=unlock; else action=lock; fi
    before=$(motor_starts Front)
    ear=$(ear_line) hub=$(hub_line)
    send_command Front "$action"
    usleep $((RANDOM % 600 * 1000))
    end bluetoothd
    usleep $((RANDOM % 500 * 1000))
    start_bluetoothd
    # Gone, and there again.
    until_ok 30 heard_after "$ear" NameOwnerChanged 2
    until_ok 60 hub_said_after "$hub" event=adapter_ready
    until_ok "${COMMAND_S:-60}" has_final "$command"
    value "returned_$round" "$(heard_time "$ear" NameOwnerChanged)"
    value "ready_$round" "$(hub_time "$hub" event=adapter_ready)"
    value "action_$round" "$action"
    value "command_$round" "$command"
    value "result_$round" "$(final_of "$command")"
    value "turns_$round" $(($(motor_starts Front) - before))
    value "bolt_$round" "$(bolt Front)"
    say "round $round"
done
check hub_still_obeys obeyed Front unlock
check log_is_whole drawbridge lock log Front --local --json
value log "$said"
check hub_was_never_restarted test "$(grep -c 'event=ready' /var/log/hub)" = 1
