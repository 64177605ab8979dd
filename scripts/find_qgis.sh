# Where QGIS is on this machine. Read by other scripts ('. scripts/find_qgis.sh'); does nothing by
# itself. The functions run in subshells, so that their variables stay their own.

# Print a program's path like `command -v`, but never that of DeepSeg's own wrapper.
program_on_path() (
    IFS=:
    for folder in $PATH; do
        if [ -x "$folder/$1" ] && ! head -c 200 "$folder/$1" | grep -q 'DeepSeg'; then
            printf '%s\n' "$folder/$1"
            return 0
        fi
    done
    return 1
)

# Print the path of QGIS's qgis_process, or fail. QGIS_PROCESS names one that lies elsewhere.
find_qgis_process() (
    if [ -n "${QGIS_PROCESS:-}" ]; then
        program_on_path "$QGIS_PROCESS" 2>/dev/null && return 0
        [ -x "$QGIS_PROCESS" ] && printf '%s\n' "$QGIS_PROCESS" && return 0
        return 1
    fi
    # Debian's qgis_process is a shell script around qgis_process.bin that fails in QGIS 3.22.
    program_on_path qgis_process.bin && return 0
    program_on_path qgis_process && return 0
    for bundle in /Applications/QGIS*.app "${HOME:-}"/Applications/QGIS*.app; do
        for program in "$bundle"/Contents/MacOS/bin/qgis_process \
            "$bundle"/Contents/MacOS/qgis_process; do
            [ -x "$program" ] && printf '%s\n' "$program" && return 0
        done
    done
    return 1
)

# Print the path of the Python that QGIS's bindings belong to, or fail. It lies beside qgis_process;
# the first python3 on PATH may be another one (pyenv, conda). QGIS_PYTHON names one elsewhere.
find_qgis_python() (
    program=$(find_qgis_process) || program=/usr/bin/qgis_process
    for python in "${QGIS_PYTHON:-}" "${program%/*}/python3" /usr/bin/python3 \
        /usr/local/bin/python3 "$(program_on_path python3)"; do
        if [ -x "$python" ] && "$python" -c "$HAS_QGIS" 2>/dev/null; then
            printf '%s\n' "$python"
            return 0
        fi
    done
    return 1
)

HAS_QGIS='import importlib.util, sys; sys.exit(importlib.util.find_spec("qgis.core") is None)'
