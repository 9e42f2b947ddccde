# What differs where systemd runs things: bus, BlueZ and the hub are services, and the hub is not root.

# Debian's own broker would log into a folder; it does not run here, and the file of this broker's words has that name.
rm -rf /var/log/mosquitto

start_bus() { systemctl is-active --quiet dbus; }

# BlueZ: its unit waits for the kernel's Bluetooth. Seen: ConditionPathIsDirectory=/sys/class/bluetooth.
start_bluetoothd() { modprobe hci_vhci && systemctl start bluetooth; }

# RootCanal: needs a newer C library than the oldest suite has. So: it brings its own.
rootcanal() { /bench/air/ld-linux-x86-64.so.2 --library-path /bench/air /bench/air/rootcanal "$@"; }

install_hub() {
    check package_is_installed dpkg --install /bench/drawbridge.deb
    # It runs by now, with a first configuration that names no broker of this house.
    check service_is_active systemctl is-active drawbridge
    journalctl -n 0 -fu drawbridge -o cat --output-fields=MESSAGE,DB_EVENT >/var/log/hub 2>&1 &
    useradd --system --gid drawbridge --shell /bin/sh member
}

# The same settings as in the small guest, but for what systemd and the package decide.
write_hub_config() {
    install -m 0644 "$HOUSE/ca.pem" "$HOUSE/hub.pem" /etc/drawbridge/
    install -o drawbridge -g drawbridge -m 0600 "$HOUSE/hub.key" /etc/drawbridge/
    cat >/etc/drawbridge/drawbridge.toml <<END
[hub]
id = "$HUB"

[broker]
host = "localhost"

[radio]
$(printf '%s\n' "$@")

[log]
level = "${HUB_LOG:-info}"
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
    hub_log_from=$(hub_line)
    systemctl restart drawbridge && until_ok 60 hub_said broker_up
}

as_member() { setpriv --reuid=member --regid=drawbridge --clear-groups env HOME=/nonexistent "$@"; }

as_hub() { setpriv --reuid=drawbridge --regid=drawbridge --clear-groups env HOME=/nonexistent "$@"; }

as_nobody() { setpriv --reuid=nobody --regid=nogroup --clear-groups env HOME=/nonexistent "$@"; }

# refused WORD COMMAND...: it fails, and says why with this word; a command that fails of something else is not refused.
refused() {
    local word=$1
    shift
    if "$@" >/run/refused 2>&1; then
        cat /run/refused
        return 1
    fi
    cat /run/refused
    grep -q -e "$word" /run/refused
}

main_pid() { systemctl show --property=MainPID --value drawbridge; }

# Killed with SIGKILL: the milliseconds until systemd calls it active again, by systemd's own clock, in $back_ms.
kill_hub() {
    local pid from
    pid=$(main_pid)
    from=$(uptime_ms)
    kill -9 "$pid"
    until_ok 60 is_back "$pid" || return 1
    back_ms=$(($(systemctl show --property=ActiveEnterTimestampMonotonic --value drawbridge) / 1000 - from))
}

is_back() {
    local now
    now=$(main_pid)
    [ "$now" != 0 ] && [ "$now" != "$1" ] && systemctl is-active --quiet drawbridge
}

# How systemd refuses whom polkit does not let.
DENIED='InteractiveAuthorizationRequired\|AccessDenied'

# restart_as WHO UNIT: asks systemd as the hub's ladder does.
restart_as() {
    "as_$1" dbus-send --system --print-reply --dest=org.freedesktop.systemd1 /org/freedesktop/systemd1 \
        org.freedesktop.systemd1.Manager.RestartUnit "string:$2" string:replace
}

# What an administrator and a stranger see of the service.
judge_service() {
    check status_tells_that_it_is_active sh -c "systemctl status drawbridge --no-pager | grep -q 'Active: active (running)'"
    check journal_has_our_fields sh -c "journalctl -u drawbridge -o json --no-pager | grep -q '\"DB_EVENT\":\"broker_up\"'"
    check member_asks_status as_member drawbridge status --json
    check member_asks_doctor as_member drawbridge doctor --json
    check nobody_is_refused_at_the_socket refused "Permission denied" as_nobody drawbridge status --json
    check nobody_is_refused_by_the_bus refused AccessDenied as_nobody dbus-send --system --print-reply --dest=org.bluez / \
        org.freedesktop.DBus.ObjectManager.GetManagedObjects
    check hub_may_restart_bluetooth restart_as hub bluetooth.service
    check hub_may_restart_nothing_else refused "$DENIED" restart_as hub dbus.service
    check member_may_not_restart_bluetooth refused "$DENIED" restart_as member bluetooth.service
    value exposure "$(systemd-analyze security --no-pager drawbridge.service | sed -n 's/.*Overall exposure level for drawbridge.service: \([0-9.]*\).*/\1/p')"
}
