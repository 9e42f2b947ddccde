# The house: broker, hub, locks and their owner.

HUB=h1
HOUSE=/bench/house
LOCKS=/run/locks
mkdir -p "$LOCKS" /etc/drawbridge /run/drawbridge /var/lib/drawbridge $HOME/.config/drawbridge
chmod 700 /var/lib/drawbridge

# Debian 12's writes its log in blocks.
launch_broker() { start mosquitto stdbuf -oL mosquitto -c /etc/mosquitto/mosquitto.conf; }

start_broker() {
    launch_broker
    until_ok 60 listening 8883
}

# write_hub_config [LINE...]: further lines go into [radio].
write_hub_config() {
    cat >/etc/drawbridge/drawbridge.toml <<END
[hub]
id = "$HUB"

[broker]
host = "localhost"
ca = "$HOUSE/ca.pem"
cert = "$HOUSE/hub.pem"
key = "$HOUSE/hub.key"

[radio]
bluez = true
$(printf '%s\n' "$@")

[control]
group = ""

[log]
level = "${HUB_LOG:-debug}"
END
    cat >$HOME/.config/drawbridge/client.toml <<END
hub = "$HUB"
host = "localhost"
ca = "$HOUSE/ca.pem"
cert = "$HOUSE/a1.pem"
key = "$HOUSE/a1.key"
END
}

start_hub() {
    hub_log_from=$(($(wc -l </var/log/hub 2>/dev/null || echo 0) + 1))
    start_stamped hub drawbridged --config /etc/drawbridge/drawbridge.toml
    until_ok 60 hub_said broker_up
}

# hub_said WORDS: since it was started last.
hub_said() { tail -n "+$hub_log_from" /var/log/hub | grep -q -e "$1"; }

# hub_line: where the hub's log goes on. hub_said_after LINE WORDS and hub_time LINE WORDS look from there on: whether it
# said so, and when it did so first, in milliseconds since 1970.
hub_line() { echo $(($(wc -l </var/log/hub) + 1)); }

hub_said_after() { tail -n "+$1" /var/log/hub | grep -q -e "$2"; }

hub_time() { tail -n "+$1" /var/log/hub | grep -e "$2" | head -n 1 | cut -d ' ' -f 1; }

# start_lock NAME [OPTION...]: a lock of its own on a controller of its own, or on $LOCK_HCI.
start_lock() {
    local lock=$1
    shift
    start_stamped "lock_$lock" drawbridge-lock-sim --hci "${LOCK_HCI:-tcp:127.0.0.1:$LOCK_PORT}" --flash "$LOCKS/$lock.flash" --name "$lock" \
        --control "$LOCKS/$lock.control" --qr-text "$LOCKS/$lock.code" --motor-ms "${MOTOR_MS:-150}" "$@"
    until_ok 60 ask_lock "$lock" '{"do":"hello"}'
}

ask_lock() { knob "$LOCKS/$1.control" "$2"; }

# One field of a flat answer: field NAME <json
field() { sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p" | head -n 1; }

lock_id() { ask_lock "$1" '{"do":"hello"}' | field lock; }

motor_starts() { ask_lock "$1" '{"do":"status"}' | field motor_actuations; }

bolt() { ask_lock "$1" '{"do":"status"}' | field bolt | tr a-z A-Z; }

press_button() { ask_lock "$1" '{"do":"button","held_ms":200}'; }

# The lock becomes the owner's, by the code on it: over MQTT, where the hub never sees the code.
claim() {
    press_button "$1" && drawbridge owner claim --name "$1" --code-file "$LOCKS/$1.code" --json
}

# A foreign app that listens to every result, one line each, with the time before it; start_listener audit: and to the records of
# the locks' logs.
start_listener() {
    start_stamped results stdbuf -oL mosquitto_sub -V 5 -q 1 -h localhost -p 8883 --cafile "$HOUSE/ca.pem" --cert "$HOUSE/a2.pem" \
        --key "$HOUSE/a2.key" -t "drawbridge/$HUB/lock/+/result" ${1:+-t "drawbridge/$HUB/lock/+/$1"} -F '%p'
    until_ok 20 grep -q 'SUBSCRIBE from app:a2' /var/log/mosquitto
}

# publish LOCK FILE: a signed command as any MQTT client sends it.
publish() {
    mosquitto_pub -V 5 -q 1 -h localhost -p 8883 --cafile "$HOUSE/ca.pem" --cert "$HOUSE/a3.pem" --key "$HOUSE/a3.key" \
        -t "drawbridge/$HUB/lock/$1/command" -f "$2"
}

# Every last word about a command, each with its time before it; there should be one.
finals_of() { grep "$1" /var/log/results | grep -E '"status":"(done|failed|refused|expired|not_executed)"'; }

# The last word about a command, if it has been said.
final_of() { finals_of "$1" | head -n 1 | cut -d ' ' -f 2-; }

has_final() { [ -n "$(final_of "$1")" ]; }

# send_command LOCK ACTION: signed by the owner, published by a foreign app. Its id is in $command after it.
send_command() {
    rm -f /run/command.cose
    command=$(drawbridge owner sign --lock "$1" --action "$2" --out /run/command.cose --json | field command)
    [ -n "$command" ] && publish "$(lock_id "$1")" /run/command.cose
}

# The same, and waits for its last word.
obeyed() { send_command "$1" "$2" && until_ok "${COMMAND_S:-40}" has_final "$command"; }

# Bus, BlueZ, air and the broker, all up; no controller.
start_empty_house() {
    check bus_is_up start_bus
    start_bluetoothd
    check air_is_up start_air
    check broker_is_up start_broker
}

# The same, and a controller for the hub.
start_house() {
    start_empty_house
    start_controller controller0
    check hub_has_a_controller until_ok 30 has_adapter hci0
}
