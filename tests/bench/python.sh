#!/usr/bin/env bash
# Builds the small guest with Python and what home bridges are written with, bleak and paho, and prints the folder that
# holds it, with the same files as the small guest's. Kept apart from it: the small guest boots in every run, this one for
# figures only.
set -euo pipefail

SUITE=trixie
PYTHON=python3.13
WHEELS=(
    "bleak==3.1.0 --hash=sha256:3cb08e03039f6e477c276252540416b287d4e3de63a86732780ff93a2f6e73ef"
    "dbus-fast==5.2.0 --hash=sha256:da7835ccc6e8cb2b54516558097156da6dbf6636c27033b427135bad693317fb"
    "paho-mqtt==2.1.0 --hash=sha256:6db9ba9b34ed5bc6b6e3812718c7e06e2fd7444540df2455d2c51bd58808feee"
)
# What the standard library has and no bridge uses.
LEFT_OUT=(test idlelib tkinter turtledemo ensurepip lib2to3 pydoc_data __pycache__)

say() { echo "tests/bench/python.sh: $*" >&2; }

die() {
    say "$@"
    exit 1
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
small=$("$here/small.sh")
cache="${XDG_CACHE_HOME:-$HOME/.cache}/drawbridge/bench"
recipe=$(cat "$here/small.sh" "${BASH_SOURCE[0]}" | sha256sum | cut -c1-16)
guest="$cache/python-$recipe"
exec 9>"$cache/python.lock"
flock 9
find "$cache" -mindepth 1 -maxdepth 1 -type d -name 'python-*' ! -name "python-$recipe" -mtime +30 -exec rm -rf {} +
if [ -f "$guest/base.cpio" ]; then
    touch "$guest"
    echo "$guest"
    exit 0
fi

say "building the guest with Python (a minute)"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# mmdebstrap: when it fails it ends its whole process group, and with it whoever called. So: a group of its own.
setsid --wait mmdebstrap --quiet --variant=extract --include="$PYTHON" "$SUITE" "$work/debian" >"$work/log" 2>&1 ||
    die "mmdebstrap failed: $(tail -n 20 "$work/log")"
printf '%s\n' "${WHEELS[@]}" >"$work/wheels"
mkdir "$work/fetched"
pip3 download --quiet --no-deps --only-binary :all: --require-hashes --python-version 3.13 --platform manylinux_2_17_x86_64 \
    --platform any -r "$work/wheels" -d "$work/fetched" >&2 || die "the Python packages could not be fetched"

debian="$work/debian" root="$work/root"
mkdir -p "$root/usr/bin" "$root/usr/lib/$PYTHON/site-packages" "$root/usr/lib/x86_64-linux-gnu"
cp "$debian/usr/bin/$PYTHON" "$root/usr/bin/python3"
cp -a "$debian/usr/lib/$PYTHON/." "$root/usr/lib/$PYTHON/"
for folder in "${LEFT_OUT[@]}"; do find "$root/usr/lib/$PYTHON" -depth -type d -name "$folder" -exec rm -rf {} +; done
for wheel in "$work"/fetched/*.whl; do python3 -m zipfile -e "$wheel" "$root/usr/lib/$PYTHON/site-packages"; done
rm -f "$root/usr/lib/$PYTHON/sitecustomize.py"
echo 'import sys; sys.path.append("/usr/lib/python3.13/site-packages")' >"$root/usr/lib/$PYTHON/sitecustomize.py"
# Every library that these name, and those name; what the small guest has already comes twice and is the same.
mapfile -t want < <(find "$root/usr" -type f \( -name '*.so' -o -path '*/bin/*' \))
while [ "${#want[@]}" -gt 0 ]; do
    file=${want[0]}
    want=("${want[@]:1}")
    for library in $(readelf -d "$file" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
        to="$root/usr/lib/x86_64-linux-gnu/$library"
        [ ! -e "$to" ] && [ -e "$debian/usr/lib/x86_64-linux-gnu/$library" ] || continue
        cp -L "$debian/usr/lib/x86_64-linux-gnu/$library" "$to"
        want+=("$to")
    done
done

mkdir -p "$work/guest"
cp "$small/vmlinuz" "$work/guest/vmlinuz"
cp "$small/base.cpio" "$work/guest/base.cpio"
(cd "$root" && find . -mindepth 1 | LC_ALL=C sort | cpio --quiet --create --format=newc --owner=0:0 >>"$work/guest/base.cpio")
rm -rf "$guest.new"
cp -r "$work/guest" "$guest.new"
mv "$guest.new" "$guest"
say "built: $(du -m "$guest/base.cpio" | cut -f1) MB"
echo "$guest"
