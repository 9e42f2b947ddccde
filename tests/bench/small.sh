#!/usr/bin/env bash
# Builds the small guest, a home hub without its hardware, and prints the folder that holds it:
#   vmlinuz    Debian's own kernel
#   base.cpio  busybox, dbus-daemon, BlueZ and its btvirt, mosquitto and its clients, RootCanal, and the modules that they need
# It is built once and kept outside the repository, under a name made from this recipe. Two who ask at once wait for
# each other. A recipe's guest that nobody has asked for in 30 days is removed.
set -euo pipefail

SUITE=trixie
PACKAGES=busybox-static,dbus-bin,dbus-daemon,bluez,bluez-test-tools,mosquitto,mosquitto-clients,linux-image-amd64,libstdc++6,coreutils
ROOTCANAL=1.13.0
ROOTCANAL_SHA256=1e3d219990fcef1394ffeb39f3250373a06faa70c14b993eae4103ffde5a66f7
# What is started in the guest, without our own programs.
PROGRAMS=(usr/bin/dbus-daemon usr/bin/dbus-send usr/bin/dbus-monitor usr/libexec/bluetooth/bluetoothd usr/bin/bluetoothctl
    usr/bin/btmgmt usr/bin/btmon usr/bin/btvirt usr/sbin/mosquitto usr/bin/mosquitto_pub usr/bin/mosquitto_sub
    usr/bin/rootcanal usr/bin/stdbuf usr/libexec/coreutils/libstdbuf.so)
# Kernel: without drbg it says "Unable to create ECDH crypto context", and LE Secure Connections fail. Seen: Debian 6.12
# in an initramfs of its own. So: everything that SMP asks for is loaded before bluetoothd starts.
MODULES=(crc16 sha512_generic jitterentropy_rng ctr drbg ecc ecdh_generic rfkill cmac ecb af_alg algif_hash algif_skcipher
    bluetooth hci_vhci)

say() { echo "tests/bench/small.sh: $*" >&2; }

die() {
    say "$@"
    exit 1
}

PATH="$PATH:/usr/sbin:/sbin"
for needed in mmdebstrap:mmdebstrap cpio:cpio depmod:kmod readelf:binutils strip:binutils xz:xz-utils \
    pip3:python3-pip flock:util-linux sha256sum:coreutils; do
    command -v "${needed%%:*}" >/dev/null || die "${needed%%:*} is missing: install Debian's ${needed##*:}"
done

cache="${XDG_CACHE_HOME:-$HOME/.cache}/drawbridge/bench"
recipe=$(sha256sum <"${BASH_SOURCE[0]}" | cut -c1-16)
guest="$cache/small-$recipe"
mkdir -p "$cache"
exec 9>"$cache/small.lock"
flock 9
find "$cache" -mindepth 1 -maxdepth 1 -type d -name 'small-*' ! -name "small-$recipe" -mtime +30 -exec rm -rf {} +
if [ -f "$guest/base.cpio" ]; then
    touch "$guest"
    echo "$guest"
    exit 0
fi

say "building the small guest (a minute)"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# mmdebstrap: when it fails it ends its whole process group, and with it whoever called. So: a group of its own.
setsid --wait mmdebstrap --quiet --variant=extract --include="$PACKAGES" "$SUITE" "$work/debian" >"$work/log" 2>&1 ||
    die "mmdebstrap failed: $(tail -n 20 "$work/log")"
echo "rootcanal==$ROOTCANAL --hash=sha256:$ROOTCANAL_SHA256" >"$work/wheels"
pip3 download --quiet --no-deps --only-binary :all: --require-hashes -r "$work/wheels" -d "$work" >&2 ||
    die "RootCanal $ROOTCANAL could not be fetched"
python3 -m zipfile -e "$work"/rootcanal-*.whl "$work/wheel"
debian="$work/debian" root="$work/root"
cp "$work/wheel/rootcanal/bin/linux-x86_64/rootcanal" "$debian/usr/bin/rootcanal"
chmod 755 "$debian/usr/bin/rootcanal"
strip "$debian/usr/bin/rootcanal"

mkdir -p "$root"/{usr/{bin,sbin,lib,lib64,libexec,share},etc,dev,proc,sys,run,tmp,var/{lib,log},root}
for link in bin sbin lib lib64; do ln -s "usr/$link" "$root/$link"; done
copy() {
    mkdir -p "$root/$(dirname "$1")"
    cp -a "$debian/$1" "$root/$1"
}

cp -a "$debian/usr/bin/busybox" "$root/usr/bin/busybox"
for applet in $("$debian/usr/bin/busybox" --list); do
    [ "$applet" = busybox ] || ln -s busybox "$root/usr/bin/$applet"
done
# Every program with the libraries that it names, and those that these name.
cp -L "$debian/usr/lib64/ld-linux-x86-64.so.2" "$root/usr/lib64/"
want=("${PROGRAMS[@]}")
# For our own programs, which are linked on the host.
for own in libc.so.6 libm.so.6 libgcc_s.so.1; do want+=("usr/lib/x86_64-linux-gnu/$own"); done
while [ "${#want[@]}" -gt 0 ]; do
    file=${want[0]}
    want=("${want[@]:1}")
    if [ -e "$root/$file" ]; then continue; fi
    [ -e "$debian/$file" ] || die "Debian's packages lack $file"
    mkdir -p "$root/$(dirname "$file")"
    rm -f "$root/$file"
    cp -L "$debian/$file" "$root/$file"
    for library in $(readelf -d "$debian/$file" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
        if [ "$library" != ld-linux-x86-64.so.2 ]; then want+=("usr/lib/x86_64-linux-gnu/$library"); fi
    done
done
for folder in etc/dbus-1 usr/share/dbus-1 etc/bluetooth; do
    if [ -e "$debian/$folder" ]; then copy "$folder"; fi
done
# Nothing here starts services on demand: a bluetoothd that was killed stays away until the scenario starts it.
rm -rf "$root/usr/share/dbus-1/system-services" "$root/usr/share/dbus-1/services"
printf '%s\n' 'root:x:0:0::/root:/bin/sh' 'messagebus:x:100:100::/run/dbus:/bin/false' 'nobody:x:65534:65534::/:/bin/false' \
    >"$root/etc/passwd"
printf '%s\n' 'root:x:0:' 'messagebus:x:100:' 'bluetooth:x:101:' 'drawbridge:x:102:' 'nogroup:x:65534:' >"$root/etc/group"
echo '127.0.0.1 localhost' >"$root/etc/hosts"
echo 'hosts: files' >"$root/etc/nsswitch.conf"
echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"

# The modules in the order in which to load them, unpacked: xz costs seconds under emulation.
release=$(ls "$debian/usr/lib/modules")
depmod -b "$debian" "$release" || die "depmod failed"
mkdir -p "$root/bench/modules"
: >"$root/bench/modules/order"
for module in "${MODULES[@]}"; do
    modprobe --show-depends -d "$debian" -S "$release" "$module" >"$work/depends" || die "the kernel has no module $module"
    while read -r how file _; do
        if [ "$how" != insmod ]; then continue; fi
        name=$(basename "$file" .xz)
        if [ -e "$root/bench/modules/$name" ]; then continue; fi
        xz -dc "$file" >"$root/bench/modules/$name"
        echo "$name" >>"$root/bench/modules/order"
    done <"$work/depends"
done

mkdir -p "$work/guest"
cp "$debian"/boot/vmlinuz-* "$work/guest/vmlinuz"
(cd "$root" && find . -mindepth 1 | LC_ALL=C sort | cpio --quiet --create --format=newc --owner=0:0 >"$work/guest/base.cpio")
rm -rf "$guest.new"
cp -r "$work/guest" "$guest.new"
mv "$guest.new" "$guest"
say "built: kernel $release, $(du -m "$guest/base.cpio" | cut -f1) MB"
echo "$guest"
