#!/bin/sh
# Something to see for `make run` and `make vm`: runs various commands until whoever started
# it ends it, half a minute at most. For any POSIX shell, busybox's too.

dir=$(mktemp -d) || exit
trap 'rm -rf "$dir"' EXIT
trap 'exit 0' INT TERM

# A script, so that its interpreter shows.
cat >"$dir/greet" <<'END'
#!/bin/sh
echo "hello, $1"
END
# One whose interpreter is not there: the kernel says ENOENT, as if it were the script.
printf '#!/opt/no/such/interpreter\n' >"$dir/orphan"
# And a file that may not be executed.
: >"$dir/notes.txt"
chmod +x "$dir/greet" "$dir/orphan"
cd "$dir" || exit
tab=$(printf '\t')
escape=$(printf '\033[31mred')

# Connections: to somebody who listens where python3 or busybox can be had, and to nobody.
connect() {
    bash -c ": </dev/tcp/127.0.0.1/$1" || nc -w 1 127.0.0.1 "$1" </dev/null
}
if command -v python3 >/dev/null; then
    python3 -m http.server --bind 127.0.0.1 18765
else
    busybox httpd -f -p 127.0.0.1:18765 -h "$dir"
fi >/dev/null 2>&1 &
server=$!
trap 'kill $server; rm -rf "$dir"' EXIT

# A search along this PATH needs two tries.
PATH=/usr/local/bin:/usr/bin:/bin
for round in 1 2 3 4 5 6 7 8 9 10; do
    sleep 0.7
    uname -r
    seq 3 | sort -r | head -n 1
    ./greet 'big world'
    sleep 0.7
    # "env" tries each folder of PATH; the shell would look before it calls exec.
    env PATH=/opt/bin:/usr/bin:/bin sort --version
    env PATH=/usr/bin:/bin no-such-command --help
    sleep 0.7
    ./orphan
    env ./notes.txt
    env printf '%s\n' '' "it's" '*.txt' "a${tab}tab" "$escape"
    connect 18765
    connect 9
    # Ends of several kinds, one of them a process that executes nothing.
    sh -c 'exit 3'
    sh -c 'kill -SEGV $$'
    sleep 5 &
    kill $!
    (sleep 0.1; exit 4)
    sleep 0.7
    find . -name '*.txt' -exec grep -c "round $round" {} +
done >/dev/null 2>&1
