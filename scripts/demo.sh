# shellcheck shell=sh
# The arguments of `make run` and `make vm` without ARGS.

# demo_arguments TOOL: one argument a line.
demo_arguments() {
    case $1 in
        execsnoop) printf '%s\n' -x ;;
        tcpconnect) printf '%s\n' --print-retries ;;
        procsnoop) printf '%s\n' --usage ;;
        # An object of its own: make examples, then make run TOOL=bpfrun ARGS=FILE.
        bpfrun)
            printf '%s\n' --help
            return
            ;;
    esac
    printf '%s\n' --duration 10
}
