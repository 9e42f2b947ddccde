# Two locks from their first power on: pairing, commands, log pull. Everything that the hub's controller heard and said is recorded,
# and everything that nobody may find in it is handed over too.
NAMES="Frontdoor Gardengate"
start_house
check capture_runs start_capture
write_hub_config "gatt_only = ${GATT_ONLY:-false}"
for name in $NAMES; do check "${name}_is_powered" start_lock "$name"; done
check hub_is_up start_hub
check owner_has_keys drawbridge owner init --json
check app_listens start_listener audit
say "house is up"
for name in $NAMES; do
    check "${name}_is_claimed" claim "$name"
    say "$name is claimed"
done
number=0
# LOCK ACTION: obeyed, and kept for the host.
kept_command() {
    number=$((number + 1))
    check "command_${number}_has_an_end" obeyed "$1" "$2"
    file "statement_$number" /run/command.cose
    value "result_$number" "$(final_of "$command")"
}
has_lost_answers() { ask_lock "$1" '{"do":"status"}' | grep -q '"to_hub":0'; }
for name in $NAMES; do
    # The same wish again and again, each with an id of its own.
    for action in unlock lock unlock unlock; do kept_command "$name" "$action"; done
    # What was said of these is pulled first, so that it is not that which is lost.
    check "${name}_log_is_pulled" drawbridge lock log "$name" --local --json
    # The very same bytes again: the answer is lost with its link, and the hub asks for it on the next one.
    check "${name}_is_to_lose_an_answer" ask_lock "$name" '{"do":"drop","to_hub":1,"at_least":240,"close":true}'
    kept_command "$name" lock
    check "${name}_lost_an_answer" has_lost_answers "$name"
done
value commands "$number"
for name in $NAMES; do check "${name}_log_is_whole" drawbridge lock log "$name" --local --json; done
check capture_is_written finish btmon
file air /run/air.btsnoop
for name in $NAMES; do
    value "code_$name" "$(cat "$LOCKS/$name.code")"
    file "factory_$name" "$LOCKS/$name.flash.factory"
done
file owner $HOME/.config/drawbridge/owner.json
# The hub's own, and what it keeps for each lock.
for kept in /var/lib/drawbridge/identity/*; do file "identity/${kept##*/}" "$kept"; done
grep '"records"' /var/log/results | cut -d ' ' -f 2- >/run/audits
file audits /run/audits
