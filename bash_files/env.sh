# shellcheck shell=bash
# Sourced by the other scripts after they set `root`: chooses the environment and puts it first on PATH.
# VENV=path, else the activated one (virtualenv, or conda other than base), else $root/.venv.
if [ -z "${VENV:-}" ]; then
    VENV="${VIRTUAL_ENV:-}"
    [ -n "$VENV" ] || [ "${CONDA_DEFAULT_ENV:-base}" = base ] || VENV="${CONDA_PREFIX:-}"
    VENV="${VENV:-$root/.venv}"
fi
case "$VENV" in /*) ;; *) VENV="$PWD/$VENV" ;; esac
export VENV PATH="$VENV/bin:$PATH"

fail() {    # one line, exit code 2: what is wrong and what to do
    echo "$(basename "$0"): error: $*" >&2
    exit 2
}

need() {    # need COMMAND: it must come from the chosen environment, not from one further down PATH
    [ -x "$VENV/bin/$1" ] || fail "$1 is not installed in $VENV; run $root/bash_files/${2:-quickstart.sh} first, or set VENV=path"
}

[ -n "${installs:-}" ] || need massrl       # install.sh is about to install it
