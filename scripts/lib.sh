# shellcheck shell=bash
# Shared by the scripts beside it: where things are, and how PostgreSQL is run by somebody who is not root.
set -euo pipefail
# libpq's variables of whoever calls would lead to another server.
unset "${!PG@}"
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
run=${MUSTER_RUN_DIR:-$root/.run}
# Unix socket paths end at 107 characters, and PostgreSQL's user must reach them: a short folder of this checkout's own.
short=/tmp/muster-$(id -u)-$(printf '%s' "$run" | cksum | cut -d' ' -f1)

say() { if [ -t 2 ]; then printf '\033[1m%s\033[0m\n' "$*" >&2; else printf '%s\n' "$*" >&2; fi; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; return; fi
    command -v sudo >/dev/null || die "this needs root, and there is no sudo: $*"
    sudo "$@"
}

# PostgreSQL refuses root; Debian's own user is there for that.
database_user() { if [ "$(id -u)" = 0 ]; then echo postgres; else id -un; fi; }
as_database_user() {
    if [ "$(id -u)" = 0 ]; then setpriv --reuid postgres --regid postgres --init-groups -- "$@"; else "$@"; fi
}
postgres_bin() { printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1; }
# It is in /usr/sbin, which a user's PATH may lack.
nginx_program() { command -v nginx || echo /usr/sbin/nginx; }

# On both loopback addresses.
port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && ! (exec 3<>"/dev/tcp/::1/$1") 2>/dev/null; }

# Builds with the given arguments: progress on a terminal, else only what went wrong.
build() {
    command -v swift >/dev/null || die "Swift is not installed; see https://www.swift.org/install/linux/debian/12/"
    say "Building (the first time takes some minutes)"
    if [ -t 2 ]; then
        swift build --package-path "$root" "$@" >&2 || die "the build failed"
    else
        mkdir -p "$run/log"
        swift build --package-path "$root" "$@" >"$run/log/build.log" 2>&1 || {
            grep -E 'error' "$run/log/build.log" | sort -u | head -n 40 >&2
            die "the build failed; all of it is in $run/log/build.log"
        }
    fi
}

# Programs that hold Swift's libraries, or what they use of them: an idle responder is smaller by a sixth and starts
# sooner, and a server needs no Swift. Prints the folder.
build_release() {
    build -c release --static-swift-stdlib
    swift build -c release --package-path "$root" --show-bin-path
}

# The supervisor of this checkout, if it runs. Beside the sockets, so that deleting .run does not lose it; a number
# alone may be somebody else's by now.
supervisor_file=$short/supervisor.pid
supervisor() {
    local pid
    pid=$(cat "$supervisor_file" 2>/dev/null) && grep -qa muster-supervise "/proc/$pid/cmdline" 2>/dev/null && echo "$pid"
}
is_running() { supervisor >/dev/null; }
