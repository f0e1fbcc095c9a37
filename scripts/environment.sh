# Functions of scripts/quickstart and scripts/test: find a Python, make an environment, choose the CUDA extra.
# Sourced, not run. Written for bash 3.2 (macOS) and later. Wants $ROOT, the checkout's absolute path.

OLDEST_PYTHON=3.10

# Settings that would make an environment look for packages elsewhere, or refuse to hold them.
unset PYTHONPATH PYTHONHOME
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

die() {
    printf '%s: %s\n' "$(basename "$0")" "$1" >&2
    exit 1
}

# is_recent_python COMMAND: whether it runs, and is OLDEST_PYTHON or newer.
is_recent_python() {
    "$1" -c "import sys; sys.exit(sys.version_info < (${OLDEST_PYTHON/./, }))" >/dev/null 2>&1
}

# Sets PYTHON: the caller's own $PYTHON, else the first recent one on PATH. macOS's python3 is 3.9, with newer
# ones installed beside it under their full names.
find_python() {
    local candidate found
    if [ -n "${PYTHON:-}" ]; then
        is_recent_python "$PYTHON" && return
        found=$("$PYTHON" -c 'import platform; print(platform.python_version())' 2>/dev/null) \
            || die "PYTHON=$PYTHON does not run: give the path of a Python $OLDEST_PYTHON or newer"
        die "PYTHON=$PYTHON is Python $found: give the path of a Python $OLDEST_PYTHON or newer"
    fi
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 python3.10 python; do
        if is_recent_python "$candidate"; then
            PYTHON=$candidate
            return
        fi
    done
    found=$(python3 -c 'import platform; print("python3 is " + platform.python_version())' 2>/dev/null) \
        || found="there is no python3"
    die "needs Python $OLDEST_PYTHON or newer, and $found: install one, or name it with PYTHON=/path/to/python3"
}

# make_environment FOLDER EXTRA: a virtual environment with the project installed for editing, and one of its
# extras ("" for none). Reused while what decides its content is unchanged; sets ENVIRONMENT_REUSED to yes or no.
make_environment() {
    local folder=$1 extra=$2 wanted
    local state="$folder/.w2v-state"
    wanted="$("$PYTHON" -VV | tr '\n' ' ')|$folder|$extra|$(cat "$ROOT/setup.py" "$ROOT/pyproject.toml" | cksum)"
    ENVIRONMENT_REUSED=no
    if [ "$(cat "$state" 2>/dev/null)" = "$wanted" ] && "$folder/bin/w2v" --version >/dev/null 2>&1; then
        ENVIRONMENT_REUSED=yes
        return
    fi
    if [ -e "$state" ]; then
        rm -rf "$folder"
    elif [ -e "$folder" ]; then
        # Somebody's own environment: add to it, remove nothing.
        is_recent_python "$folder/bin/python" || die "$folder is no usable environment: move it away"
    fi
    if [ ! -e "$folder" ]; then
        mkdir -p "$folder"
        echo unfinished >"$state"
        create_environment "$folder"
    fi
    install_project "$folder" "$extra"
    printf '%s\n' "$wanted" >"$state"
}

# create_environment FOLDER. Debian's python3 lacks ensurepip until python3-venv is installed, but its pip can
# install into an environment that has no pip of its own.
create_environment() {
    local version
    if "$PYTHON" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        "$PYTHON" -m venv "$1" || die "could not make a virtual environment in $1"
    elif "$PYTHON" -m venv --without-pip "$1" >/dev/null 2>&1 \
        && "$PYTHON" -m pip --python "$1/bin/python" --version >/dev/null 2>&1; then
        :
    else
        version=$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        die "$PYTHON cannot make virtual environments: install them (on Debian and Ubuntu: apt install python$version-venv)"
    fi
}

# install_project FOLDER EXTRA: quiet unless it fails.
install_project() {
    local log="$1/install.log"
    if ! (cd "$ROOT" && environment_pip "$1" install --editable ".${2:+[$2]}") >"$log" 2>&1; then
        if grep -qE 'NewConnectionError|ConnectTimeout|NameResolutionError|from versions: none' "$log"; then
            die "pip could not reach its package index: check the network, then run this again (details: $log)"
        fi
        grep -E '^ *(ERROR|error)' "$log" | head -n 5 >&2 || true
        die "pip could not install the project, as said above: the whole story is in $log"
    fi
}

# environment_pip FOLDER ARGUMENT...: the environment's own pip, or else that of $PYTHON working on it.
environment_pip() {
    local python="$1/bin/python"
    shift
    if "$python" -m pip --version >/dev/null 2>&1; then
        "$python" -m pip "$@"
    else
        "$PYTHON" -m pip --python "$python" "$@"
    fi
}

# Prints the extra that fits the NVIDIA driver: cuda13, cuda12, or nothing where nvidia-smi shows no GPU or the
# driver is older than CUDA 12.
cuda_extra() {
    local version
    nvidia-smi -L 2>/dev/null | grep -q '^GPU ' || return 0
    version=$(nvidia-smi 2>/dev/null | sed -n 's/.*CUDA[A-Za-z ]*Version: *\([0-9][0-9]*\).*/\1/p' | head -n 1)
    if [ "${version:-0}" -ge 13 ]; then
        echo cuda13
    elif [ "${version:-0}" -ge 12 ]; then
        echo cuda12
    fi
}
