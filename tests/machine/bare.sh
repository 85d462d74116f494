#!/usr/bin/env bash
# Runs a command of the project on a bare Debian: nothing is installed there but what debootstrap's
# smallest variant has. So a package that the project needs and does not name is found out.
#
#     tests/machine/bare.sh bookworm ./run demo     # Debian 12
#     tests/machine/bare.sh trixie ./run test       # Debian 13
#
# Options, before the suite:
#   --keep DIR   the machine lives in DIR and stays there: a later call with the same DIR goes on with it.
#                Without this, the machine is made for one command and deleted.
#   --with DIR   DIR of this machine is seen, and can be written, under the same path in the bare one (ccache's
#                cache, say); may be given several times.
#   --possible   runs nothing; status 0 if machines can be made here, 1 and a reason if not.
#
# The files of the checkout (all that git does not ignore, changes included) are copied to /root/cnpd, which is
# where the command runs. The exit status is the command's. The bare system is downloaded once and cached in
# CNPD_MACHINES, /var/tmp/cnpd-machines if that is not set. Needs root, for chroot and mounts; installs
# debootstrap. Everything is mounted in a namespace of its own, so no mount is left, however this ends.
set -euo pipefail

cache=${CNPD_MACHINES:-/var/tmp/cnpd-machines}
packages_at=/var/cache/apt/archives # inside; kept with the cache, so that a second run downloads nothing

fail() {
    echo "bare.sh: $*" >&2
    exit 2
}

why_not() { # prints what is missing, if anything
    if [ "$(id -u)" -ne 0 ]; then
        echo "needs root"
    elif ! command -v debootstrap >/dev/null && ! command -v apt-get >/dev/null; then
        echo "needs debootstrap"
    elif ! unshare --mount --pid --fork sh -c 'mount -t proc proc /mnt' 2>/dev/null; then
        echo "may not mount anything"
    elif ! (mkdir -p "$cache" && rm -f "$cache/null" && mknod "$cache/null" c 1 3 && : >"$cache/null") 2>/dev/null; then
        echo "may not make devices below $cache"
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
        -*) fail "there is no option $1" ;;
        *) break ;;
    esac
done
[ $# -ge 2 ] || fail "usage: $0 [--keep DIR] [--with DIR]... bookworm|trixie COMMAND..."
suite=$1
shift
[[ $suite =~ ^[a-z]+$ ]] || fail "$suite is not the name of a Debian release"
reason=$(why_not)
[ -z "$reason" ] || fail "$reason"
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# Where this machine gets Debian from; nothing, and so debootstrap's own choice, if it is not Debian.
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
    echo "bare.sh: making a bare $suite" >&2
    if ! debootstrap --variant=minbase "$suite" "$unfinished" $(mirror) >"$1.log" 2>&1; then
        tail -n 5 "$1.log" >&2
        fail "debootstrap failed"
    fi
    # How to reach the mirror (proxies, for instance) holds inside as well.
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

# The files of the checkout. In a machine that is kept, build folders and runs stay as they are.
mkdir -p "$root/root/cnpd"
(
    cd "$project"
    git -c safe.directory='*' ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
        [ ! -e "$file" ] && [ ! -L "$file" ] || printf '%s\0' "$file"
    done | tar -c --null -T - --owner=0 --group=0
) | tar -x -C "$root/root/cnpd"

# Runs as the first process of the namespaces: what it mounts, and what the command leaves running, ends with it.
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
