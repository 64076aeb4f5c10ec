#!/usr/bin/env bash
# courlan 1.4.0 (PyPI), run on 2026-12-01.
#
# Expected: `normalize_url` sorts the query and removes trackers, which its documentation says; all other parameters stay.
# Seen: parameters without a value go as well, `empty=` like `flag`, though neither is a tracker and `strict` is off. So a
#   landing page that tells two variants apart by a bare word is taken for one page.
# Source: the package's README ("normalize_url": "removes trackers"); RFC 3986 section 3.4, to which any query is opaque.
#
#   https://shop.example/land?flag&empty=&gclid=1&item=2  ->  https://shop.example/land?item=2
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check courlan==1.4.0
"$folder/venv/bin/python" - <<'PYTHON'
from courlan import normalize_url

URL = "https://shop.example/land?flag&empty=&gclid=1&item=2"
normal = normalize_url(URL, strict=False)
print(URL, " -> ", normal)
assert normal == "https://shop.example/land?item=2"
assert normalize_url("https://shop.example/land?flag") == "https://shop.example/land"
PYTHON
