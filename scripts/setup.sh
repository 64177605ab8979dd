#!/bin/sh
# Set up what DeepSeg's commands need, and nothing twice: QGIS (from Debian or Ubuntu), the Python
# environment .venv with the engine's libraries, and the plugin's links under build/plugins.
#
#   scripts/setup.sh              on Linux with torch's CUDA build, which also runs without a GPU
#   TORCH=cpu scripts/setup.sh    with torch's CPU build: a third of the size
#
# An environment counts as done when .venv/deepseg-state says so, which is written last.
set -eu
cd "$(dirname "$0")/.."
. scripts/find_qgis.sh
. scripts/watched.sh

TORCH=${TORCH:-}
CPU_BUILDS=https://download.pytorch.org/whl/cpu
STATE=.venv/deepseg-state
LOGS=build/setup
PLUGIN=build/plugins/deepseg_qgis
BINDINGS=build/qgis-bindings/qgis
OLDEST_PYTHON='(3, 10)'
IMPORTS='import torch, torchvision, segmentation_models_pytorch, rasterio, pyogrio, shapely, openvino'

main() {
    case $TORCH in
        '' | cpu | cuda) ;;
        *) stop "TORCH must be cpu or cuda, not '$TORCH'." ;;
    esac
    mkdir -p "$LOGS"
    ensure_qgis
    ensure_environment
    ensure_links
}

# QGIS, its Python, and that Python's venv module.
ensure_qgis() {
    if ! find_both; then
        install_from_debian qgis python3-qgis python3-venv
        find_both || stop \
            "QGIS is still missing. This distribution's is too old or incomplete: install QGIS" \
            "3.22 or newer with its Python bindings (https://qgis.org/download), then run this again."
    fi
    "$python" -c 'import ensurepip, venv' 2>/dev/null || install_from_debian python3-venv
    "$python" -c "import sys; sys.exit(sys.version_info < $OLDEST_PYTHON)" || stop \
        "The engine needs Python 3.10 or newer; QGIS's is $("$python" -V 2>&1). Install a newer QGIS."
}

find_both() {
    find_qgis_process >/dev/null && python=$(find_qgis_python)
}

install_from_debian() {
    command -v apt-get >/dev/null || stop \
        "Missing: $* (as Debian calls them). Please install QGIS 3.22 or newer with its command" \
        "qgis_process, its Python bindings and Python's venv module, then run this again. If QGIS" \
        "lies in an unusual place, set QGIS_PROCESS and QGIS_PYTHON to its programs."
    as_root=''
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || stop \
            "Missing: $*. Ask somebody who may to run: apt-get install $*"
        say "Installing $* needs administrator rights; sudo may ask for your password."
        sudo -v || stop "Without sudo, ask somebody who may to run: apt-get install $*"
        as_root=sudo
    fi
    watched "Looking up Debian's packages" "$LOGS/apt-update.log" $as_root apt-get update ||
        say "Not every package list could be renewed; going on with what is there."
    # No recommended packages (they bring GRASS), and no questions.
    watched "Installing $* (a few minutes, about 1.5 GB)" "$LOGS/apt.log" \
        $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends "$@" || stop_with_log "$LOGS/apt.log" \
        "apt could not install $*. If the network is down, connect and run this again."
}

ensure_environment() {
    wanted=$(fingerprint)
    found=$(cat "$STATE" 2>/dev/null) || found=none
    torch=${TORCH:-$(flavour "$found")}
    [ "$found" != "$wanted $torch" ] || return 0
    if must_be_made_anew; then
        say "Making the Python environment .venv with $("$python" -V 2>&1) ($python)"
        rm -rf .venv
        mkdir .venv
        echo "unfinished $torch" >"$STATE"
        "$python" -m venv .venv >"$LOGS/venv.log" 2>&1 || stop_with_log "$LOGS/venv.log" \
            "The environment .venv could not be made."
    fi
    install_libraries
    link_bindings
    watched "Trying the engine's libraries" "$LOGS/imports.log" .venv/bin/python -I -c "$IMPORTS" ||
        stop_with_log "$LOGS/imports.log" \
            "The libraries do not work together. Remove the folder .venv and run this again."
    watched "Compiling for this computer" "$LOGS/prepare.log" \
        .venv/bin/python -I deepseg_qgis/launch.py --prepare ||
        say "The first prediction will take longer (see $LOGS/prepare.log)."
    echo "$wanted $torch" >"$STATE"
}

# QGIS's bindings, so that tests in .venv see them; found by the first python3 on PATH.
link_bindings() {
    PATH=${python%/*}:$PATH "$python" scripts/link_qgis.py .venv/bin/python \
        >"$LOGS/link-qgis.log" 2>&1 || true
    [ -d "$BINDINGS" ] || stop_with_log "$LOGS/link-qgis.log" \
        "QGIS's Python bindings could not be linked into .venv."
}

# Links are laid anew only when one is missing or dangling: a running QGIS may be reading them.
ensure_links() {
    [ -d "$BINDINGS" ] || link_bindings
    for entry in deepseg_qgis/[a-z_]*[a-z] processing metadata.txt; do
        [ -e "$PLUGIN/${entry##*/}" ] || missing=yes
    done
    for entry in "$PLUGIN"/*; do
        [ -e "$entry" ] || missing=yes
    done
    [ -n "${missing:-}" ] || return 0
    "$python" scripts/link_plugin.py >"$LOGS/link.log" 2>&1 || stop_with_log "$LOGS/link.log" \
        "The plugin could not be linked under build/plugins."
}

# What an environment was made from: a change of any of it calls for pip again. The settings of
# ruff, mypy and pytest, which stand last in pyproject.toml, do not.
fingerprint() {
    {
        sed '/^\[tool\.ruff/,$d' pyproject.toml
        cat deepseg_qgis/requirements.txt
        "$python" -V
        pwd -P
    } 2>&1 | cksum | tr ' ' '-'
}

# The torch build of an environment in this state; by default the one that plain pip brings.
flavour() {
    case $1 in
        *' cpu') echo cpu ;;
        *) echo cuda ;;
    esac
}

# An unfinished environment is not mended: which of its files are whole cannot be known.
must_be_made_anew() {
    case $found in unfinished*) return 0 ;; esac
    .venv/bin/python -I -c 'import pip' 2>/dev/null || return 0
    [ "$(.venv/bin/python -V)" = "$("$python" -V)" ] || return 0
    [ "$(flavour "$found")" != "$torch" ]
}

# -I: no module of the current folder, of PYTHONPATH or of the user's site gets in the way.
install_libraries() {
    advice="If the network is down, connect and run this again; if the disk is full, make room: the
environment takes 6 GB, with TORCH=cpu 2 GB."
    if [ "$torch" = cpu ]; then
        watched "Installing torch's CPU build into .venv" "$LOGS/pip-torch.log" \
            .venv/bin/python -I -m pip install --progress-bar off --index-url "$CPU_BUILDS" \
            torch torchvision ||
            stop_with_log "$LOGS/pip-torch.log" "pip could not install torch. $advice"
    fi
    watched "Installing the engine's libraries into .venv (a few minutes)" "$LOGS/pip.log" \
        .venv/bin/python -I -m pip install --progress-bar off -e '.[dev]' ||
        stop_with_log "$LOGS/pip.log" "pip could not install the libraries. $advice"
}

main
