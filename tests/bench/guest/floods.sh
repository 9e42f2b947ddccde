# F19: COMMANDS commands in quiet and as many under each flood. A lock that is away keeps the hub listening for it.
MOTOR_MS=0
HUB_LOG=info
# The broker's words about the app that sends commands, with their time, and how much the flooding ones have sent.
start_broker() {
    mkfifo /run/broker.lines
    awk '/SUBSCRIBE|from app:a3/ { print; fflush() }
        /PUBLISH from app:a[45]/ { if (++sent % 100 == 0) { print "flood " sent; fflush() } }' </run/broker.lines |
        stamp >>/var/log/mosquitto &
    stdbuf -oL mosquitto -c /etc/mosquitto/mosquitto.conf >/run/broker.lines 2>&1 </dev/null &
    echo $! >/run/mosquitto.pid
    until_ok 60 listening 8883
}
start_house
write_hub_config
for name in Front Away; do check "${name}_is_powered" start_lock "$name"; done
check hub_is_up start_hub
check owner_has_keys drawbridge owner init --json
check app_listens start_listener
value code "$(cat "$LOCKS/Front.code")"
for name in Front Away; do check "${name}_is_claimed" claim "$name"; done
front=$(lock_id Front)
ask_lock Away '{"do":"power_loss"}' >/dev/null
say "house is up"

# Time on a processor, in hundredths of a second: of a program, and of everything.
spent() {
    set -- $(cut -d ' ' -f 14,15 "/proc/$(cat "/run/$1.pid")/stat")
    echo $(($1 + $2))
}
idle() { sed -n 's/^cpu  *[0-9]* [0-9]* [0-9]* \([0-9]*\).*/\1/p' /proc/stat; }

# The last count that a program told, 0 before the first.
told() { tail -n 1 "/var/log/$1" 2>/dev/null | sed 's/[^0-9]*\([0-9]*\).*/\1/' | grep . || echo 0; }

# How much a flood has sent so far.
sent_by() {
    case $1 in
    adverts) echo $(($(told adverts_1) + $(told adverts_2))) ;;
    mqtt) grep ' flood ' /var/log/mosquitto | tail -n 1 | sed 's/.* //' | grep . || echo 0 ;;
    bus) told bus_flood ;;
    *) echo 0 ;;
    esac
}

# COMMANDS commands, each from the broker's having it to its proven end.
timed() {
    local phase=$1 number=0 action=lock line before from
    local idle_before hub_before sent_before since
    since=$(uptime_ms) idle_before=$(idle) hub_before=$(spent hub) sent_before=$(sent_by "$phase")
    before=$(motor_starts Front)
    while [ "$number" -lt "$COMMANDS" ]; do
        number=$((number + 1))
        if [ "$action" = lock ]; then action=unlock; else action=lock; fi
        line=$(($(wc -l </var/log/mosquitto) + 1))
        rm -f /run/command.cose
        command=$(drawbridge owner sign --local --lock Front --action "$action" --out /run/command.cose --json | field command)
        publish "$front" /run/command.cose
        until_ok 40 has_final "${command:-none}"
        from=$(tail -n "+$line" /var/log/mosquitto | grep 'PUBLISH from app:a3' | head -n 1 | cut -d ' ' -f 1)
        value "took_${phase}_$number" "$(($(finals_of "$command" | head -n 1 | cut -d ' ' -f 1) - from))"
        value "result_${phase}_$number" "$(final_of "$command")"
    done
    value "turns_$phase" $(($(motor_starts Front) - before))
    value "ms_$phase" $(($(uptime_ms) - since))
    value "idle_$phase" $(($(idle) - idle_before))
    value "hub_$phase" $(($(spent hub) - hub_before))
    value "flood_$phase" $(($(sent_by "$phase") - sent_before))
    say "$phase is over"
}

# flood_topic APP TOPIC: garbage from an app.
flood_topic() {
    mkfifo "/run/garbage_$1"
    start "lines_$1" sh -c "exec flood lines $MQTT >/run/garbage_$1"
    start "pub_$1" sh -c "exec mosquitto_pub -V 5 -l -q 0 -h localhost -p 8883 --cafile $HOUSE/ca.pem --cert $HOUSE/$1.pem \
        --key $HOUSE/$1.key -t '$2' </run/garbage_$1"
}

# The first commands are slower than all that follow: they would flatter the quiet time.
timed settling
timed quiet

for number in 1 2; do start "adverts_$number" flood adverts "127.0.0.1:$LOCK_PORT" "$ADVERTS"; done
sleep 3
timed adverts
for number in 1 2; do end "adverts_$number"; done
sleep 5

flood_topic a4 "drawbridge/$HUB/lock/$front/command"
flood_topic a5 "drawbridge/h2/lock/$front/command"
sleep 3
timed mqtt
for app in a4 a5; do end "pub_$app" && end "lines_$app"; done
sleep 5

# As nobody.
start bus_flood su nobody -s /bin/sh -c "exec /bench/bin/flood bus /run/dbus/system_bus_socket $BUS"
sleep 3
timed bus
end bus_flood
check hub_was_never_restarted test "$(grep -c 'event=ready ' /var/log/hub)" = 1
check broker_was_never_lost test "$(grep -c event=broker_down /var/log/hub)" = 0
