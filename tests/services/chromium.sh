#!/bin/sh
# Install Debian's chromium if it is missing and check that it starts headless.
# The browser tests (marker `browser`) open reports in it through playwright.
#   sh tests/services/chromium.sh
set -eu

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

if ! command -v chromium >/dev/null; then
    as_root apt-get update
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends chromium
fi

profile=$(mktemp -d)
trap 'rm -rf "$profile"' EXIT
page='data:text/html,<p id=alive>alive</p>'
if ! timeout 60 chromium --headless --no-sandbox --disable-gpu --disable-background-networking \
    --disable-component-update --disable-sync --no-first-run --user-data-dir="$profile" \
    --dump-dom "$page" 2>"$profile/stderr" | grep -q alive; then
    echo "chromium does not start headless:" >&2
    tail -n 5 "$profile/stderr" >&2
    exit 1
fi
echo "ready: $(chromium --version 2>/dev/null)"
