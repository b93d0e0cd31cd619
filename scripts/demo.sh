# shellcheck shell=sh
# The arguments of `make run` and `make vm` without ARGS.

# demo_arguments PROGRAM: one argument a line, as the program itself has it.
demo_arguments() {
    demo=$("$1" --generate demo)
    case $demo in
        # Without an object it has nothing to show: make examples, then make run TOOL=bpfrun ARGS=FILE.
        *object=?*) printf '%s\n' --help ;;
        *)
            flags=$(printf '%s\n' "$demo" | sed -n 's/^flags=//p')
            [ -z "$flags" ] || printf '%s\n' "$flags" | tr ' ' '\n'
            printf '%s\n' --duration 10
            ;;
    esac
}
