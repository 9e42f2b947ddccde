# F03: the link is cut behind each message of a command with its log pull, and of a pairing; one in COMMAND_STEP and
# PAIRING_STEP of them, chosen by SEED.
start_house
write_hub_config "gatt_only = ${GATT_ONLY:-false}"
check lock_is_powered start_lock Front
check hub_is_up start_hub
check owner_has_keys drawbridge owner init --json
check app_listens start_listener
value code "$(cat "$LOCKS/Front.code")"
say "house is up"

status_of() { ask_lock Front '{"do":"status"}' | field "$1"; }

# cut_after COUNT: 0 takes it back.
cut_after() { ask_lock Front "{\"do\":\"hang_up\",\"after_messages\":$1}" >/dev/null; }

# cuts LAST STEP: where to cut, one in each STEP.
cuts() { seq $((1 + SEED % $2)) "$2" "$1"; }

# One pairing of a lock as from the factory, cut behind message $2 of it (0: not).
paired() {
    local name=$1 code
    # A hub that does not know it has nothing to remove.
    drawbridge lock remove Front --yes --local --json >/dev/null 2>&1
    ask_lock Front '{"do":"button","held_ms":10000}' >/dev/null
    local from
    from=$(status_of messages)
    cut_after "$2"
    claim Front >/run/claim 2>&1
    code=$?
    messages=$(($(status_of messages) - from))
    value "cut_left_$name" "$(status_of hang_up_left)"
    value "code_$name" "$code"
    value "said_$name" "$(tr '\n' ' ' </run/claim)"
    value "owned_$name" "$(status_of owned)"
    # The same again, as the command line says: nothing is cleaned up in between.
    if [ "$code" -ne 0 ]; then check "${name}_works_the_second_time" claim Front; fi
    value "owned_in_the_end_$name" "$(status_of owned)"
}

# One command and the log after it, on a new link of a session that goes on, cut behind message $2 of it (0: not).
commanded() {
    local name=$1 action before from sent
    if [ "$(bolt Front)" = LOCKED ]; then action=unlock; else action=lock; fi
    before=$(motor_starts Front)
    if [ "$2" -ge 0 ]; then
        ask_lock Front '{"do":"link_loss"}' >/dev/null
        from=$(status_of messages)
        cut_after "$2"
    fi
    check "${name}_is_sent" send_command Front "$action"
    sent=$(uptime_ms)
    check "${name}_has_an_end" until_ok 60 has_final "$command"
    # Asked at once: since when there is the link over which the end was learnt.
    value "link_ms_$name" "$(status_of newest_link_ms)"
    value "sent_ms_$name" $(($(uptime_ms) - sent))
    value "cut_left_at_end_$name" "$(status_of hang_up_left)"
    commands="$commands $command"
    value "action_$name" "$action"
    value "command_$name" "$command"
    value "result_$name" "$(final_of "$command")"
    value "bolt_$name" "$(bolt Front)"
    value "turns_$name" $(($(motor_starts Front) - before))
    check "${name}_log_is_whole" drawbridge lock log Front --local --json
    messages=$(($(status_of messages) - ${from:-0}))
    # A cut that is still to come must not fall into the next round.
    value "cut_left_$name" "$(status_of hang_up_left)"
}

commands=
paired uncut_pairing 0
pairing=$messages
commanded uncut_command 0
command_messages=$messages
commanded uncut_command_2 0
if [ "$messages" -lt "$command_messages" ]; then command_messages=$messages; fi
value pairing_messages "$pairing"
value command_messages "$command_messages"
value command_cuts "$(cuts "$command_messages" "$COMMAND_STEP" | tr '\n' ' ')"
value pairing_cuts "$(cuts "$pairing" "$PAIRING_STEP" | tr '\n' ' ')"
say "a pairing has $pairing messages, a command with its log $command_messages"
for cut in $(cuts "$command_messages" "$COMMAND_STEP"); do
    commanded "command_$cut" "$cut"
    cut_after 0
    say "command cut behind message $cut"
done
for command in $commands; do value "finals_$command" "$(finals_of "$command" | wc -l)"; done
value log "$said"
for cut in $(cuts "$pairing" "$PAIRING_STEP"); do
    paired "pairing_$cut" "$cut"
    # It stands on both sides: the owner's word moves the bolt, the hub's grant reads the log.
    commanded "paired_$cut" -1
    value "finals_$command" "$(finals_of "$command" | wc -l)"
    cut_after 0
    say "pairing cut behind message $cut"
done
check hub_was_never_restarted test "$(grep -c 'event=ready ' /var/log/hub)" = 1
