# P07: bluetoothd, hub and broker are killed COUNT times each and started again; when the adapter is ready, when the lock's
# link is there as an app hears of it, and when the hub is connected again.
RANDOM=$SEED
start_house
write_hub_config
check lock_is_powered start_lock Front
check hub_is_up start_hub
check owner_has_keys drawbridge owner init --json
value code_Front "$(cat "$LOCKS/Front.code")"
check lock_is_claimed claim Front
say "house is up"

start_watcher() {
    start_stamped links stdbuf -oL mosquitto_sub -V 5 -q 1 -h localhost -p 8883 --cafile "$HOUSE/ca.pem" --cert "$HOUSE/a2.pem" \
        --key "$HOUSE/a2.key" -t "drawbridge/$HUB/lock/+/link" -F '%p'
    until_ok 20 grep -q '"state"' /var/log/links
}

link_line() { echo $(($(wc -l </var/log/links) + 1)); }

link_is_after() { tail -n "+$1" /var/log/links | grep -q '"state":"up"'; }

link_time() { tail -n "+$1" /var/log/links | grep '"state":"up"' | head -n 1 | cut -d ' ' -f 1; }

now_ms() { echo | stamp | cut -d ' ' -f 1; }

# rounds NAME: calls NAME COUNT times; each sets $from and $to, and $also when it has a second end.
rounds() {
    local round=0 times="" also_times=""
    while [ "$round" -lt "$COUNT" ]; do
        round=$((round + 1)) from='' to='' also=''
        "$1" || return 1
        [ -n "$from" ] && [ -n "$to" ] || return 1
        times="$times$((to - from)) "
        [ -z "$also" ] || also_times="$also_times$((also - from)) "
        usleep $((500000 + RANDOM % 500 * 1000))
    done
    value "$1_ms" "$times" >/dev/console
    [ -z "$also_times" ] || value "$1_also_ms" "$also_times" >/dev/console
    say "$1 is done" >/dev/console
}

# From the name's return to an adapter that is ready. The kernel keeps a channel over a death of bluetoothd, so that a lock's
# link may never have been lost.
bluetoothd_is_back() {
    local ear hub
    ear=$(ear_line) hub=$(hub_line)
    end bluetoothd
    usleep $((100000 + RANDOM % 500 * 1000))
    start_bluetoothd
    until_ok 30 heard_after "$ear" NameOwnerChanged 2 || return 1
    until_ok 60 hub_said_after "$hub" event=adapter_ready || return 1
    from=$(heard_time "$ear" NameOwnerChanged) to=$(hub_time "$hub" event=adapter_ready)
    # A link that is lost and made again in between is not to fall into the next round.
    sleep 5
}

# From the program's start to the lock's link; also: to the broker.
hub_is_back() {
    local hub links
    hub=$(hub_line) links=$(link_line)
    end hub
    from=$(now_ms)
    start_hub || return 1
    until_ok 60 link_is_after "$links" || return 1
    to=$(link_time "$links") also=$(hub_time "$hub" event=broker_up)
}

# From a broker that listens again, after 1 to 25 s, to the hub's connection.
broker_is_back() {
    local hub
    hub=$(hub_line)
    end mosquitto
    usleep $((1000000 + RANDOM % 24000 * 1000))
    launch_broker
    until listening 8883; do usleep 1000; done
    from=$(now_ms)
    until_ok 90 hub_said_after "$hub" event=broker_up || return 1
    to=$(hub_time "$hub" event=broker_up)
}

# The bond is made in between, once.
check lock_is_bonded until_ok 60 hub_said event=bond_made
start_ear
check app_watches start_watcher
check bluetoothd_comes_back rounds bluetoothd_is_back
check hub_comes_back rounds hub_is_back
check broker_comes_back rounds broker_is_back
