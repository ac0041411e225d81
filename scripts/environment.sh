# Makes .venv with the pinned requirements where it is missing or out of date. Sourced by the other scripts:
# leaves $PYTHON and $BIN set, and the working directory at the repository's root.

say() { printf '%s\n' "$*" >&2; }
stop() { say "$0: $*"; exit 2; }

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
BIN="$PWD/.venv/bin"
PYTHON="$BIN/python"

find_python() {
    local candidate
    for candidate in "${NNGUARD_PYTHON:-}" python3 python3.13 python3.12 python3.11 python3.10 python; do
        [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 || continue
        "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || continue
        command -v "$candidate"
        return
    done
    return 1
}

make_venv() {
    local python
    python=$(find_python) || stop "needs Python 3.10, 3.11, 3.12 or 3.13 on the PATH (or its path in NNGUARD_PYTHON)"
    say "making .venv with $("$python" --version)"
    "$python" -m venv .venv || stop "$python has no working venv module (on Debian and Ubuntu: apt install python3-venv)"
}

find_uv() {
    if [ -x "$BIN/uv" ]; then
        echo "$BIN/uv"
    elif "$PYTHON" -m pip --version >/dev/null 2>&1 || "$PYTHON" -m ensurepip >/dev/null 2>&1; then
        "$PYTHON" -m pip install --quiet --disable-pip-version-check uv >&2 && echo "$BIN/uv"
    else
        command -v uv
    fi
}

# prepare_environment FILE...: installs these requirement files, and nnguard itself, editable.
prepare_environment() {
    local file wanted uv
    local -a files=()
    [ -x "$PYTHON" ] || make_venv
    for file in "$@"; do files+=(-r "$file"); done
    wanted=$(cat "$@" pyproject.toml | "$PYTHON" -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())')
    [ "$(cat .venv/.installed-"$(basename "${@: -1}")" 2>/dev/null)" = "$wanted" ] && return
    uv=$(find_uv) || stop "could not install uv with pip; is a package registry within reach?"
    say "installing what is missing (the first time: torch and nnU-Net, about 3 GB)"
    # Compiled here, once: nnU-Net starts many processes, and where Python may not write bytecode each of
    # them would spend fifteen seconds compiling torch.
    "$uv" pip install --quiet --compile-bytecode --python "$PYTHON" "${files[@]}" &&
        "$uv" pip install --quiet --no-deps --python "$PYTHON" -e . ||
        stop "could not install the pinned requirements; is a package registry within reach, and 8 GB of disk free?"
    echo "$wanted" >.venv/.installed-"$(basename "${@: -1}")"
}
