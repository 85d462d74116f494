#!/usr/bin/env bash
# Runs a command of the project on a bare Debian with only the packages of debootstrap's smallest variant.
# This finds packages that the project needs but does not name.
#
#     tests/machine/bare.sh bookworm ./run demo     # Debian 12
#     tests/machine/bare.sh trixie ./run test       # Debian 13
#
# Options, before the suite:
#   --keep DIR   create the machine in DIR and keep it; a later call with the same DIR reuses it.
#                Default: the machine is created for one command and deleted.
#   --with DIR   make DIR available, readable and writable, under the same path in the bare machine (for
#                example ccache's cache); may be given several times.
#   --possible   run nothing; status 0 if machines can be created here, otherwise 1 and the reason.
#
# The files of the checkout (all that git does not ignore, with local changes) are copied to /root/cnpd, where
# the command runs. The exit status is the command's. The bare system is downloaded once and cached in
# CNPD_MACHINES (default: /var/tmp/cnpd-machines). Needs root, for chroot and mounts; installs debootstrap.
# All mounts are in a separate namespace, so none is left when the script ends for any reason.
set -euo pipefail

cache=${CNPD_MACHINES:-/var/tmp/cnpd-machines}
packages_at=/var/cache/apt/archives # in the machine; cached, so that a second run downloads nothing

fail() {
    echo "bare.sh: $*" >&2
    exit 2
}

why_not() { # prints why no machine can be created, if so
    if [ "$(id -u)" -ne 0 ]; then
        echo "root rights are needed"
    elif ! command -v debootstrap >/dev/null && ! command -v apt-get >/dev/null; then
        echo "debootstrap is not installed"
    elif ! unshare --mount --pid --fork sh -c 'mount -t proc proc /mnt' 2>/dev/null; then
        echo "mounting is not permitted"
    elif ! (mkdir -p "$cache" && rm -f "$cache/null" && mknod "$cache/null" c 1 3 && : >"$cache/null") 2>/dev/null; then
        echo "creating device files below $cache is not permitted"
    fi
}

keep='' with=()
while [ $# -gt 0 ]; do
    case "$1" in
        --possible)
            reason=$(why_not)
            [ -z "$reason" ] || { echo "$reason"; exit 1; }
            exit 0
            ;;
        --keep | --with)
            [ $# -gt 1 ] || fail "$1 needs a directory"
            if [ "$1" = --keep ]; then keep=$2; else with+=("$(realpath "$2")"); fi
            shift 2
            ;;
        -*) fail "unknown option $1" ;;
        *) break ;;
    esac
done
[ $# -ge 2 ] || fail "usage: $0 [--keep DIR] [--with DIR]... bookworm|trixie COMMAND..."
suite=$1
shift
[[ $suite =~ ^[a-z]+$ ]] || fail "'$suite' is not the name of a Debian release; use bookworm or trixie"
reason=$(why_not)
[ -z "$reason" ] || fail "$reason"
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# This machine's Debian mirror; empty if it is not Debian (debootstrap then uses its default).
mirror() {
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' \
        'Label: Debian' 'Component: main' 2>/dev/null | head -n 1
}

make_base() { # DIR
    if ! command -v debootstrap >/dev/null; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap >/dev/null
    fi
    [ -n "$(mirror)" ] || apt-get update -qq || true
    local unfinished=$1.unfinished
    rm -rf --one-file-system "$unfinished"
    echo "bare.sh: creating a bare $suite" >&2
    if ! debootstrap --variant=minbase "$suite" "$unfinished" $(mirror) >"$1.log" 2>&1; then
        tail -n 5 "$1.log" >&2
        fail "debootstrap failed"
    fi
    # Copies the settings for reaching the mirror, for example proxies.
    apt-config dump | grep -E '^Acquire::(http|https|ftp|Check|Retries)' \
        >"$unfinished/etc/apt/apt.conf.d/90outside" || true
    rm -f "$unfinished$packages_at"/*.deb
    mv "$unfinished" "$1"
}

mkdir -p "$cache"
base=$cache/$suite
exec 9>"$base.lock"
flock 9
[ -d "$base" ] || make_base "$base"
mkdir -p "$base.packages/partial"
flock -u 9

if [ -n "$keep" ]; then
    mkdir -p "$keep"
    root=$(realpath "$keep")
else
    root=$(mktemp -d "$cache/$suite.XXXXXX")
    trap 'rm -rf --one-file-system "$root"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
fi
[ -e "$root/etc/debian_version" ] || cp -a "$base/." "$root/"
for file in /etc/resolv.conf /etc/hosts; do
    [ ! -e "$file" ] || cp -L "$file" "$root/etc/"
done

# The files of the checkout. In a kept machine, build folders and runs are not changed.
mkdir -p "$root/root/cnpd"
(
    cd "$project"
    git -c safe.directory='*' ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
        [ ! -e "$file" ] && [ ! -L "$file" ] || printf '%s\0' "$file"
    done | tar -c --null -T - --owner=0 --group=0
) | tar -x -C "$root/root/cnpd"

# Runs as the first process of the namespaces: its mounts and remaining processes end with it.
inside='
    root=$1 packages=$2 with=$3
    shift 3
    mount --make-rprivate /
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount --bind "$packages" "$root'$packages_at'"
    IFS=:
    for folder in $with; do
        mkdir -p "$root$folder"
        mount --bind "$folder" "$root$folder"
    done
    exec chroot "$root" "$@"
'
environment=(HOME=/root USER=root LANG=C.UTF-8 TERM="${TERM:-dumb}"
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
status=0
unshare --mount --pid --fork --kill-child \
    sh -e -c "$inside" sh "$root" "$base.packages" "$(IFS=: && echo "${with[*]:-}")" \
    env -i "${environment[@]}" sh -c 'cd /root/cnpd && exec "$@"' sh "$@" || status=$?
exit "$status"
