# Long commands that are quiet on the screen but show that they are alive. Read by other scripts
# ('. scripts/watched.sh'); does nothing by itself.

say() {
    printf '%s\n' "$*"
}

# Say what is wrong and what to do, and stop.
stop() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# stop_with_log LOG MESSAGE...: stop, showing the end of a log.
stop_with_log() {
    log=$1
    shift
    printf '\n--- the end of %s\n' "$log" >&2
    tail -n 12 "$log" >&2
    printf -- '---\n' >&2
    stop "$@"
}

# watched TITLE LOG COMMAND...: run a command with its output in a log; return its exit code.
watched() {
    title=$1
    log=$2
    shift 2
    say "$title …"
    : >"$log"
    started=$(date +%s)
    # The ticker runs in the background and not the command: so Ctrl-C and a password prompt reach it.
    show_life "$log" &
    ticker=$!
    code=0
    "$@" >>"$log" 2>&1 || code=$?
    kill "$ticker" 2>/dev/null || true
    wait "$ticker" 2>/dev/null || true
    [ ! -t 1 ] || printf '\r\033[K'
    [ "$code" -ne 0 ] || say "  done in $(($(date +%s) - started)) s"
    return "$code"
}

# Show the last line of a growing log: in place on a terminal, else a line every 15 seconds.
show_life() {
    seconds=0
    while sleep 1 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
        seconds=$((seconds + 1))
        line=$(tail -n 1 "$1" | tr -d '\r' | cut -c 1-60)
        if [ -t 1 ]; then
            printf '\r\033[K  %4d s  %s' "$seconds" "$line"
        elif [ $((seconds % 15)) -eq 0 ]; then
            printf '  %4d s  %s\n' "$seconds" "$line"
        fi
    done
}
