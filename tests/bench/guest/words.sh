# What a scenario says to the host, one line each:
#   CHECK <name> ok            what the test's list of names must have
#   CHECK <name> FAILED <why>
#   VALUE <name> <value>       a number that the test judges
#   FILE <name> <base64>       the next bytes of a file; in the end `FILE <name> size <bytes>`
#   BENCH <text>               for the reader
#   LOG <file> <line>          after a failure

# Milliseconds since power-on, by the guest's own clock.
uptime_ms() {
    # As exact as the kernel tells a shell: 10 ms.
    read -r up _ </proc/uptime
    echo "${up%.*}${up#*.}0" | sed 's/^0*\(.\)/\1/'
}

say() { echo "BENCH $(uptime_ms) $*"; }

value() { echo "VALUE $1 $2"; }

# file NAME PATH: a file that the test judges.
file() {
    base64 -w 960 "$2" | sed "s|^|FILE $1 |"
    echo "FILE $1 size $(wc -c <"$2")"
}

pass() { echo "CHECK $1 ok"; }

fail() {
    local about=$1
    shift
    echo "CHECK $about FAILED $(echo "$*" | tr '\n' ' ' | cut -c1-600)"
    touch /run/failed
}

# check NAME COMMAND...: ok if it ends with 0; what it said otherwise. What it said is in $said after it.
check() {
    local about=$1 code
    shift
    # Not in a subshell: what the command sets stays set.
    "$@" >/run/said 2>&1
    code=$?
    said=$(cat /run/said)
    if [ "$code" -eq 0 ]; then pass "$about"; else fail "$about" "$* said: $said"; fi
}

# until_ok SECONDS COMMAND...: asks again and again, by the guest's clock; 1 if it never ended with 0.
until_ok() {
    local deadline=$(($(uptime_ms) + $1 * 1000))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ "$(uptime_ms)" -gt "$deadline" ]; then return 1; fi
        usleep 20000
    done
}

# start NAME COMMAND...: in the background, its output in /var/log/NAME, its process id in /run/NAME.pid.
start() {
    local who=$1
    shift
    "$@" >>"/var/log/$who" 2>&1 </dev/null &
    echo $! >"/run/$who.pid"
}

# start_stamped NAME COMMAND...: the same, each line with the time (milliseconds since 1970) before it.
start_stamped() {
    rm -f "/run/$1.lines"
    mkfifo "/run/$1.lines"
    stamp <"/run/$1.lines" >>"/var/log/$1" &
    local who=$1
    shift
    "$@" >"/run/$who.lines" 2>&1 </dev/null &
    echo $! >"/run/$who.pid"
}

# end NAME: SIGKILL, and waits until it is gone.
end() {
    kill -9 "$(cat "/run/$1.pid")" 2>/dev/null
    until is_gone "$1"; do usleep 5000; done
}

# finish NAME: SIGTERM, so that it writes what it has, and waits until it is gone.
finish() {
    kill "$(cat "/run/$1.pid")" 2>/dev/null
    until_ok 10 is_gone "$1"
}

# Also one that nobody has waited for yet is gone.
is_gone() {
    local pid
    pid=$(cat "/run/$1.pid")
    [ ! -d "/proc/$pid" ] || grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null
}

# The end of every log, and the kernel's.
tell_logs() {
    dmesg | grep -i -E 'bluetooth|hci|oops|segfault|out of memory' | tail -n 60 | sed 's/^/LOG kernel /'
    for log in /var/log/*; do
        tail -n 2000 "$log" | cut -c1-400 | sed "s|^|LOG ${log##*/} |"
    done
}
