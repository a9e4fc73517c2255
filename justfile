# Arguments reach a recipe as "$@", so that quoted ones stay whole.
set positional-arguments

journal := "examples/journal-driver/Cargo.toml"

# List the recipes.
default:
    @just --list --unsorted

# Run what CI runs: format, lints, docs, tests, report (profile: fast or full).
check profile="fast":
    scripts/test {{ profile }}

# Format everything.
fmt:
    cargo fmt --all
    cargo fmt --manifest-path {{ journal }}

# Lint everything; a warning is an error.
lint:
    cargo clippy --workspace --all-targets --all-features -- -D warnings
    cargo clippy --manifest-path {{ journal }} --all-targets --all-features -- -D warnings

# Build the documentation; a warning is an error.
docs *args:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps "$@"

# Run the workspace's tests, doctests included: `just test -p storage-api`.
test *args:
    cargo test --workspace --all-features "$@"

# Run the conformance suite on every driver.
suite *args:
    for driver in memory redb rocks sled; do cargo test -p "storage-$driver" --test conformance -- "$@" || exit; done
    cargo test --manifest-path {{ journal }} --test conformance -- "$@"

# Look for a fault in a driver until one is found or the time is over: `just soak redb --minutes 15`.
soak driver *args:
    shift && cargo run -q -p storage-conformance --bin conformance -- soak --driver {{ driver }} "$@"

# Change drivers in one place at a time and see whether the suite notices: `just mutants run --seed 2`.
mutants *args:
    scripts/mutants-sample "$@"

# Compare all drivers with each other.
differential *args:
    cargo test -p storage-config --all-features --test differential -- "$@"

# Print the matrix of drivers and clauses from the suite's last run: `just report --json FILE`.
report *args:
    cargo run -q -p storage-conformance --bin conformance-report -- "$@"

# Measure.
bench *args:
    cargo run --release -p storage-bench -- "$@"

# Run the main job, on its example where no arguments are given: `just spool --help`.
spool *args:
    cargo run --release -- "$@"

# Check licences, advisories, bans and sources (needs cargo-deny and the network).
deny:
    cargo deny check
    cargo deny --manifest-path {{ journal }} check

# Write examples/webhooks.jsonl again.
webhooks:
    python3 examples/make-webhooks.py
