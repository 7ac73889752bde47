#!/bin/sh
# Write the lock files anew: names, versions, markers and hashes for every platform and Python, never where to
# download from. Run by `make lock`; LOCK_ARGS=--upgrade (or "--upgrade-package NAME") moves versions.
set -eu
cd "$(dirname "$0")/.."

compile() { # compile OUTPUT ARGUMENTS...
    output=$1
    shift
    # shellcheck disable=SC2086  # LOCK_ARGS holds several words
    .venv/bin/uv pip compile "$@" --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-sources --custom-compile-command 'make lock' \
        --output-file "$output" ${LOCK_ARGS:-}
}

compile requirements.lock pyproject.toml --group build
compile requirements-dev.lock pyproject.toml --group build --group dev --constraints requirements.lock
compile requirements-bench.lock --group bench --constraints requirements-dev.lock
compile requirements-servers.lock --group servers --no-deps
