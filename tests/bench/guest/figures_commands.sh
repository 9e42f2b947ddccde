# P03 and P04, and P07 of the link: COUNT signed commands over a link that is up, as many over one that was just lost from a
# lock that advertises every ADVERT_MS, and as many losses without a command with the lock's own interval.
start_house
write_hub_config "gatt_only = ${GATT_ONLY:-false}"
check lock_is_powered start_lock Front --advert-every "$ADVERT_MS"
check hub_is_up start_hub
check owner_has_keys drawbridge owner init --json
value code_Front "$(cat "$LOCKS/Front.code")"
check lock_is_claimed claim Front
say "house is up"
ID=$(lock_id Front)

# errand KIND LABEL: the figures' own program does it COUNT times, and says how long each took.
errand() {
    drawbridge-figures errand "$1" "$COUNT" --name Front --id "$ID" --control "$LOCKS/Front.control" \
        --terminal /var/log/lock_Front --house "$HOUSE" --label "$2" >/run/told || return 1
    grep '^VALUE ' /run/told >/dev/console
    say "$1 $2 is done"
}

# What the kernel asks the controller for, by the last link that was made.
start btmon btmon
ask_lock Front '{"do":"link_loss"}' >/dev/null
until_ok 30 grep -q 'Connection interval' /var/log/btmon
end btmon
value interval "$(sed -n 's/.*Connection interval: \([0-9.]*\) msec.*/\1/p' /var/log/btmon | tail -n 1)"
# The bond is made in between, once.
check lock_is_bonded until_ok 60 hub_said event=bond_made
sleep 3
check commands_over_a_link errand warm warm_
# An interval that the air has not: each packet arrives that much later.
check packets_are_delayed ask_lock Front "{\"do\":\"delay\",\"ms\":$INTERVAL_MS}"
check commands_over_a_slow_link errand warm slow_
check commands_over_a_lost_link errand cold cold_
check packets_are_no_longer_delayed ask_lock Front '{"do":"delay","ms":0}'
end lock_Front
check lock_is_back start_lock Front
sleep 15
check losses_of_the_link errand loss link_
check hub_was_never_restarted test "$(grep -c 'event=ready ' /var/log/hub)" = 1
