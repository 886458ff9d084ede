# shellcheck shell=bash disable=SC2154
# Sourced by quickstart.sh and test.sh after they set `root`: the environment that env.sh chooses, with massrl in it.
#   prepare EXTRA    makes the environment if it is not there, and installs massrl[EXTRA] (EXTRA may be empty).
# An environment that these scripts make gets the exact set of constraints.txt. One that was there before is held to the
# lower bounds of requirements.txt, and its torch and torchvision stay as they are.
# Nothing is installed again while requirements.txt, constraints.txt and setup.cfg stay the same.
installs=yes
source "$root/bash_files/env.sh"

# Options of these scripts, taken out of their arguments: the package index goes on to pip through its own variables.
take_options() {
    rest=()
    while [ $# -gt 0 ]; do
        case "$1" in
            --index-url | --extra-index-url)
                [ $# -ge 2 ] || fail "$1 needs a URL"
                set_index "$1" "$2"
                shift
                ;;
            --index-url=* | --extra-index-url=*) set_index "${1%%=*}" "${1#*=}" ;;
            *) rest+=("$1") ;;
        esac
        shift
    done
}

set_index() {
    case "$1" in
        --index-url) export PIP_INDEX_URL="$2" ;;
        --extra-index-url) export PIP_EXTRA_INDEX_URL="${PIP_EXTRA_INDEX_URL:+$PIP_EXTRA_INDEX_URL }$2" ;;
    esac
}

find_python() {     # prints the first Python >= 3.11 that can make environments
    local python
    for python in python3.13 python3.12 python3.11 python3 python; do
        # `command -v` alone would take a shim of pyenv that has no such version behind it
        if "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            command -v "$python"
            return
        fi
    done
    return 1
}

free_gb() {         # free space where $1 is, or will be
    local folder="$1"
    while [ ! -d "$folder" ]; do folder="$(dirname "$folder")"; done
    df -Pk "$folder" | awk 'NR == 2 { print int($4 / 1048576) }'
}

fingerprint() {     # of what would be installed; $root is in it since the installation points there
    "$VENV/bin/python" - "$root" "$1" <<'PYTHON'
import hashlib, pathlib, sys
root, extra = sys.argv[1:]
files = [pathlib.Path(root, name).read_bytes() for name in ("requirements.txt", "constraints.txt", "setup.cfg")]
print(hashlib.sha256(b"\0".join([*files, root.encode(), extra.encode()])).hexdigest())
PYTHON
}

describe_install() {    # describe_install EXTRA: one line for the announcement
    if installed "$1"; then
        echo "use the environment $VENV, where everything is installed"
    elif [ -x "$VENV/bin/python" ] && [ ! -e "$VENV/.massrl" ]; then
        echo "install massrl and what it lacks into the environment $VENV; an installed torch is not touched"
    else
        echo "make $VENV and install there: about 6 GB and 3 to 15 minutes with the CUDA build of torch" \
            "(2 GB for the CPU: --extra-index-url https://download.pytorch.org/whl/cpu)"
    fi
}

installed() {
    [ -x "$VENV/bin/massrl" ] && [ -e "$VENV/.massrl-installed${1:+-$1}" ] || return 1
    [ "$(cat "$VENV/.massrl-installed${1:+-$1}")" = "$(fingerprint "$1")" ]
}

prepare() {
    local extra="$1"
    if installed "$extra"; then return; fi
    local python free
    free="$(free_gb "$VENV")"
    if [ ! -x "$VENV/bin/python" ]; then
        [ ! -e "$VENV" ] || [ -z "$(ls -A "$VENV")" ] || fail "$VENV is there but is no virtual environment; set VENV=path to another"
        python="$(find_python)" || fail "no Python >= 3.11 with the venv module found; install one (Debian and Ubuntu: apt install python3.11-venv)"
        [ "$free" -ge "${NEED_GB:-7}" ] || fail "only $free GB free for $VENV, ${NEED_GB:-7} are needed; set VENV=path on a larger disk, or NEED_GB=2 for a CPU build of torch"
        "$python" -m venv "$VENV" || { rm -rf "$VENV"; fail "$python could not make a virtual environment in $VENV"; }
        touch "$VENV/.massrl"       # ours: constraints.txt holds for it
    fi
    "$VENV/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "$VENV has a Python below 3.11; set VENV=path to a new folder and it will be made"
    "$VENV/bin/python" -m pip --version >/dev/null 2>&1 || fail "$VENV has no pip; run $VENV/bin/python -m ensurepip"
    reach_index
    install_into "$extra"
    fingerprint "$extra" > "$VENV/.massrl-installed${extra:+-$extra}"
    [ -z "$extra" ] || fingerprint "" > "$VENV/.massrl-installed"
}

reach_index() {     # one small package, by the way that pip would take (index, proxy, certificates, local wheels)
    local folder
    folder="$(mktemp -d)"
    if ! "$VENV/bin/python" -m pip --retries 1 --timeout 15 download -q --no-deps --no-cache-dir -d "$folder" tqdm >/dev/null 2>&1; then
        rm -rf "$folder"
        fail "pip can't fetch packages (tried tqdm from ${PIP_INDEX_URL:-the configured index}); check the network, the proxy, or give --index-url URL"
    fi
    rm -rf "$folder"
}

install_into() {
    local constraints="$root/constraints.txt" kept="" why=""
    if [ ! -e "$VENV/.massrl" ]; then
        kept="$(mktemp)"
        # shellcheck disable=SC2064
        trap "rm -f '$kept'" EXIT
        keep_torch > "$kept"
        constraints="$kept"
        [ ! -s "$kept" ] || why="; kept as installed: $(paste -sd' ' "$kept")"
        fetch_torchvision "$kept"
    fi
    "$VENV/bin/python" -m pip install --only-binary :all: -c "$constraints" -e "$root${1:+[$1]}" ||
        fail "pip could not install massrl into $VENV (its reason stands above)$why; VENV=path to a new folder makes a fresh one"
    "$VENV/bin/python" -c "import torch, torchvision" 2>/dev/null ||
        fail "torch and torchvision in $VENV do not fit each other$why; install the torchvision of the index that torch is from"
    if [ -n "$kept" ]; then
        rm -f "$kept"
        trap - EXIT
    fi
}

keep_torch() {      # constraints that hold torch and torchvision at what is installed
    "$VENV/bin/python" - <<'PYTHON'
from importlib.metadata import PackageNotFoundError, version
for name in ("torch", "torchvision"):
    try:
        print(f"{name}=={version(name)}")
    except PackageNotFoundError:
        pass
PYTHON
}

# torch 2.13.0+cpu has no match on PyPI: torchvision's builds for CUDA satisfy pip and then fail at import. Where such a
# torch stands without torchvision, it is looked for in the index of that build first.
fetch_torchvision() {
    local build
    build="$(sed -n 's/^torch==[^+]*+//p' "$1")"
    if [ -z "$build" ] || grep -q '^torchvision==' "$1"; then return; fi
    "$VENV/bin/python" -m pip --retries 1 --timeout 15 install -q --only-binary :all: -c "$1" \
        --index-url "${PIP_INDEX_URL:-https://download.pytorch.org/whl/$build}" torchvision ||
        echo "no torchvision for torch+$build found there; taking the usual index"
}
