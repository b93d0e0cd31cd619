#!/usr/bin/env bash
# Cargo's RUSTC_WRAPPER for fuzzing: rustc.sh RUSTC ARG... compiles our own crates with coverage.

case " $* " in
    *' --crate-name snoop_tools '* | *' --crate-name snoop_fuzz '*)
        exec "$@" --cfg fuzzing -Cpasses=sancov-module \
            -Cllvm-args=-sanitizer-coverage-level=4 \
            -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
            -Cllvm-args=-sanitizer-coverage-pc-table \
            -Cllvm-args=-sanitizer-coverage-trace-compares
        ;;
esac
exec "$@"
