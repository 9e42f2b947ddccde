#!/usr/bin/env bash
# Builds a full guest, a home hub with systemd as it is installed, and prints the folder that holds it:
#   vmlinuz, initrd.img  Debian's own kernel and what starts its disk
#   disk.img             Debian with systemd, dbus, BlueZ and mosquitto, as ext4; to be used as a snapshot
#   air                  RootCanal with a C library of its own, for suites whose own is older than it needs
# Usage: full.sh trixie|bookworm. Built once for a recipe and kept outside the repository; two who ask at once wait for
# each other; a recipe's guest that nobody has asked for in 30 days is removed.
set -euo pipefail

PACKAGES=systemd,systemd-sysv,udev,dbus,kmod,bluez,bluez-test-tools,mosquitto,mosquitto-clients,linux-image-amd64,initramfs-tools,polkitd
ROOTCANAL=1.13.0
ROOTCANAL_SHA256=1e3d219990fcef1394ffeb39f3250373a06faa70c14b993eae4103ffde5a66f7
# The suite whose C library RootCanal needs (2.39 or later).
AIR_SUITE=trixie

say() { echo "tests/bench/full.sh: $*" >&2; }

die() {
    say "$@"
    exit 1
}

suite=${1:-}
case "$suite" in trixie | bookworm) ;; *) die "say which suite: trixie or bookworm" ;; esac
PATH="$PATH:/usr/sbin:/sbin"
for needed in mmdebstrap:mmdebstrap mke2fs:e2fsprogs readelf:binutils pip3:python3-pip flock:util-linux sha256sum:coreutils; do
    command -v "${needed%%:*}" >/dev/null || die "${needed%%:*} is missing: install Debian's ${needed##*:}"
done
[ "$(id -u)" -eq 0 ] || die "a disk with its own users is made as root: run it as root"

cache="${XDG_CACHE_HOME:-$HOME/.cache}/drawbridge/bench"
recipe=$(sha256sum <"${BASH_SOURCE[0]}" | cut -c1-16)
guest="$cache/full-$suite-$recipe"
mkdir -p "$cache"
exec 9>"$cache/full-$suite.lock"
flock 9
find "$cache" -mindepth 1 -maxdepth 1 -type d -name "full-$suite-*" ! -name "full-$suite-$recipe" -mtime +30 -exec rm -rf {} +
if [ -f "$guest/disk.img" ]; then
    touch "$guest"
    echo "$guest"
    exit 0
fi

say "building the full guest of $suite (two minutes)"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# mmdebstrap: when it fails it ends its whole process group, and with it whoever called. So: a group of its own.
bootstrap() {
    setsid --wait mmdebstrap --quiet "$@" >"$work/log" 2>&1 || die "mmdebstrap failed: $(tail -n 20 "$work/log")"
}

root="$work/root"
bootstrap --variant=minbase --include="$PACKAGES" "$suite" "$root"
mkdir -p "$work/guest/air"

echo "rootcanal==$ROOTCANAL --hash=sha256:$ROOTCANAL_SHA256" >"$work/wheels"
pip3 download --quiet --no-deps --only-binary :all: --require-hashes -r "$work/wheels" -d "$work" >&2 ||
    die "RootCanal $ROOTCANAL could not be fetched"
python3 -m zipfile -e "$work"/rootcanal-*.whl "$work/wheel"
air="$work/guest/air"
install -m 755 "$work/wheel/rootcanal/bin/linux-x86_64/rootcanal" "$air/rootcanal"
bootstrap --variant=extract --include=libc6,libgcc-s1,libstdc++6 "$AIR_SUITE" "$work/air"
cp -L "$work/air/usr/lib64/ld-linux-x86-64.so.2" "$air/"
for library in $(readelf -d "$air/rootcanal" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p') libgcc_s.so.1 libm.so.6; do
    found=$(find "$work/air/usr/lib/x86_64-linux-gnu" -maxdepth 1 -name "$library")
    [ -n "$found" ] || [ -e "$air/$library" ] || die "RootCanal needs $library, which is not among its C library's"
    [ -z "$found" ] || cp -L "$found" "$air/"
done

# What a person would set up on a new hub: a name, a time zone, nobody who waits at a console.
echo hub >"$root/etc/hostname"
printf '127.0.0.1 localhost hub\n' >"$root/etc/hosts"
printf '/dev/vda / ext4 rw 0 1\n' >"$root/etc/fstab"
rm -f "$root/etc/machine-id"
: >"$root/etc/machine-id"
mkdir -p "$root/var/log/journal"
# Its own broker is started with the test's files.
ln -sf /dev/null "$root/etc/systemd/system/mosquitto.service"
ln -sf /dev/null "$root/etc/systemd/system/serial-getty@ttyS0.service"
ln -sf /dev/null "$root/etc/systemd/system/getty@tty1.service"
ln -sf /dev/null "$root/etc/systemd/system/apt-daily.timer"
ln -sf /dev/null "$root/etc/systemd/system/apt-daily-upgrade.timer"
# The test's own disk: what it says is done once the system is up, and then the power goes.
cat >"$root/etc/systemd/system/bench.service" <<'UNIT'
[Unit]
Description=What the test does in this guest
After=multi-user.target bluetooth.service
SuccessAction=poweroff
FailureAction=poweroff
[Service]
Type=oneshot
ExecStartPre=/bin/mount -o ro /dev/vdb /mnt
ExecStart=/mnt/bench/start
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
TimeoutStartSec=infinity
UNIT
mkdir -p "$root/etc/systemd/system/graphical.target.wants"
ln -sf ../bench.service "$root/etc/systemd/system/graphical.target.wants/bench.service"
ln -sf /usr/lib/systemd/system/graphical.target "$root/etc/systemd/system/default.target"
printf 'virtio_blk\nvirtio_pci\next4\n' >>"$root/etc/initramfs-tools/modules"
sed -i 's/^MODULES=.*/MODULES=list/; s/^COMPRESS=.*/COMPRESS=lz4/' "$root/etc/initramfs-tools/initramfs.conf"
printf 'ext4\ncrc32c_generic\ncrc32c\nvirtio_blk\nvirtio_pci\n' >"$root/etc/initramfs-tools/modules"
chroot "$root" update-initramfs -u >"$work/log" 2>&1 || die "update-initramfs failed: $(tail -n 20 "$work/log")"
cp "$root"/boot/vmlinuz-* "$work/guest/vmlinuz"
cp "$root"/boot/initrd.img-* "$work/guest/initrd.img"
rm -rf "$root"/boot/* "$root"/var/cache/apt/* "$root"/usr/share/{doc,man,locale}/*
mke2fs -q -t ext4 -d "$root" -L root "$work/guest/disk.img" 2G >&2 || die "mke2fs failed"

rm -rf "$guest.new"
cp -r --sparse=always "$work/guest" "$guest.new"
mv "$guest.new" "$guest"
say "built: $(du -sm "$guest" | cut -f1) MB"
echo "$guest"
