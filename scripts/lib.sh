# Shared by the scripts beside it: where things are, and how PostgreSQL is run by somebody who is not root.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
run=${MUSTER_RUN_DIR:-$root/.run}
# Unix socket paths end at 107 characters, and other users must reach them: a short folder of this checkout's own.
short=/tmp/muster-$(id -u)-$(printf '%s' "$run" | cksum | cut -d' ' -f1)

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# PostgreSQL refuses root; Debian's own user is there for that.
database_user() { if [ "$(id -u)" = 0 ]; then echo postgres; else id -un; fi; }
as_database_user() {
    if [ "$(id -u)" = 0 ]; then setpriv --reuid postgres --regid postgres --init-groups -- "$@"; else "$@"; fi
}
# It is in /usr/sbin, which a user's PATH may lack.
nginx_program() { command -v nginx || echo /usr/sbin/nginx; }
postgres_bin() { ls -d /usr/lib/postgresql/*/bin | sort -t/ -k5 -n | tail -n 1; }

port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Runs once the supervisor of this checkout is alive.
is_running() { [ -f "$run/supervisor.pid" ] && kill -0 "$(cat "$run/supervisor.pid")" 2>/dev/null; }
