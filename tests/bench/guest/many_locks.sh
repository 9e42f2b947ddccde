# COUNT locks on one hub for MINUTES: commands in turn and at random, links that are lost under some of them, and every five
# minutes somebody who reads all logs.
RANDOM=$SEED
HUB_LOG=info
start_house
write_hub_config
locks=$(seq 1 "$COUNT" | sed 's/^/L/')
# As a lock on batteries advertises.
for name in $locks; do check "${name}_is_powered" start_lock "$name" --advert-every 500; done
check hub_is_up start_hub
check owner_has_keys drawbridge owner init --json
check app_listens start_listener
say "house is up"
for name in $locks; do
    value "code_$name" "$(cat "$LOCKS/$name.code")"
    check "${name}_is_claimed" claim "$name"
    say "$name is claimed"
done

hub=$(cat /run/hub.pid)
# rss_kib FIELD: VmRSS, or RssAnon, the part that is not the program itself.
rss_kib() { sed -n "s/^$1:[^0-9]*\([0-9]*\).*/\1/p" "/proc/$hub/status"; }

tell_memory() {
    value "rss_kib_$minute" "$(rss_kib VmRSS)"
    value "anon_kib_$minute" "$(rss_kib RssAnon)"
}

# More locks than the hub has links take turns.
links=8
[ "$COUNT" -ge "$links" ] || links=$COUNT
all_are_linked() { [ "$(lock_channels)" -eq "$links" ]; }

# Written down while no link comes or goes.
count_descriptors() {
    all_are_linked || return 1
    ls -l "/proc/$hub/fd" | sed '1d; s/.*-> //' | sort >"/var/log/descriptors_$1"
    all_are_linked
}

# tell_state WHEN: as it is when nothing is asked of anybody and every link is up.
tell_state() {
    check "all_are_linked_$1" until_ok 120 all_are_linked
    sleep 10
    check "descriptors_are_counted_$1" until_ok 60 count_descriptors "$1"
    value "channels_$1" "$(lock_channels)"
    value "descriptors_$1" "$(wc -l <"/var/log/descriptors_$1")"
}

# One command to $1; what became of it is one line in /run/commands.
commanded() {
    local before end=none
    before=$(motor_starts "$1")
    if [ $((RANDOM % 2)) = 0 ]; then action=lock; else action=unlock; fi
    command=
    if send_command "$1" "$action" && until_ok 90 has_final "$command"; then end=told; fi
    echo "$1 $action ${command:-none} $(($(motor_starts "$1") - before)) $(bolt "$1") $end" >>/run/commands
}

# What was read is freed in lock and hub: records that nobody reads are kept, and take more room each time.
readings=0
read_logs() {
    readings=$((readings + 1))
    for name in $locks; do
        check "${name}_log_is_whole_$readings" drawbridge lock log "$name" --local --free --json
        value "log_${name}_$readings" "$(echo "$said" | head -n 1)"
    done
}

: >/run/commands
for name in $locks; do commanded "$name"; done
tell_state start
say "$COUNT locks are linked and obey"
from=$(uptime_ms) minute=0 turn=0 losses=0
while [ "$(uptime_ms)" -lt $((from + MINUTES * 60000)) ]; do
    if [ "$(uptime_ms)" -ge $((from + minute * 60000)) ]; then
        tell_memory
        say "minute $minute: $(wc -l </run/commands) commands, $losses losses, $(rss_kib VmRSS) KiB; $(free -m | sed -n 2p)"
        minute=$((minute + 1))
        [ $((minute % 5)) != 0 ] || read_logs
    fi
    if [ $((RANDOM % 3)) = 0 ]; then turn=$((RANDOM % COUNT)); else turn=$(((turn + 1) % COUNT)); fi
    name=L$((turn + 1))
    if [ $((RANDOM % 4)) = 0 ]; then
        # Now, or under the command.
        losses=$((losses + 1))
        ask_lock "$name" "{\"do\":\"link_loss\",\"after_packets\":$((RANDOM % 8))}" >/dev/null
    fi
    commanded "$name"
    usleep "${PAUSE_US:-500000}"
done
value minutes "$minute"
tell_memory
value losses "$losses"
tell_state end
number=0
while read -r name action command turns bolt end; do
    number=$((number + 1))
    value "command_$number" "$name $action $command $turns $bolt $end $(finals_of "$command" | wc -l)"
    value "result_$number" "$(final_of "$command")"
done </run/commands
value commands "$number"
read_logs
value readings "$readings"
check broker_was_never_lost test "$(grep -c event=broker_down /var/log/hub)" = 0
check hub_was_never_restarted test "$(grep -c 'event=ready ' /var/log/hub)" = 1
