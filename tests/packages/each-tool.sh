#!/bin/bash
# Runs each program of the package once, in the installed system: it describes itself, and shows
# what it is made for.
set -eu

out=$(mktemp)
# shows EVENT PROGRAM FLAG... -- COMMAND...
shows() {
    local event=$1
    shift
    "$@" >"$out"
    grep -q "\"name\":\"$event\"" "$out" || {
        head -n 5 "$out"
        echo "$1: no $event"
        return 1
    }
    tail -n 1 "$out" | grep -q '"lost":0' || {
        tail -n 1 "$out"
        echo "$1: events lost"
        return 1
    }
    echo "$1: shows $event"
}

for program in $(dpkg -L snoop-tools | grep '^/usr/bin/.'); do
    "$program" --version
    "$program" --help >"$out"
    grep -q '^Usage: ' "$out"
    # It tells itself what it shows, and what makes that happen; objects are lessons of examples/.
    event='' command='' object=''
    while IFS='=' read -r key value; do
        case $key in
            event) event=$value ;;
            command) command=$value ;;
            object) object=$value ;;
        esac
    done < <("$program" --generate demo)
    shows "$event" "$program" --json ${object:+"/tmp/$object"} -- bash -c "$command; true"
done
