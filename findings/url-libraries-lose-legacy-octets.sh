#!/usr/bin/env bash
# furl 2.1.4, courlan 1.4.0 and boltons 26.2.0 (PyPI), run on 2026-12-01.
#
# Expected: a URL library that parses a URL and prints it again leaves percent-encoded octets alone, as RFC 3986 section
#   2.4 asks ("must not percent-encode or decode the same string more than once"), or refuses them.
# Seen: an octet that is no UTF-8 (%E9, "é" of a page in Latin-1) comes out as %EF%BF%BD, the replacement character. The
#   value is lost for good: whoever receives it cannot tell which octet it was. yarl, w3lib and url-normalize keep it.
# Source: RFC 3986 sections 2.4 and 6.2.2; the URL standard, "percent-encoded bytes"; the output below.
#
#   furl           https://shop.example/?e=caf%EF%BF%BD
#   courlan        https://shop.example/?e=caf%EF%BF%BD
#   boltons        https://shop.example/?e=caf%EF%BF%BD
#   yarl           https://shop.example/?e=caf%E9
#   w3lib          https://shop.example/?e=caf%E9
#   url-normalize  https://shop.example/?e=caf%E9
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    furl==2.1.4 courlan==1.4.0 boltons==26.2.0 yarl==1.25.1 w3lib==2.5.0 url-normalize==3.1.0
"$folder/venv/bin/python" - <<'PYTHON'
import boltons.urlutils
import courlan
import furl
import url_normalize
import w3lib.url
import yarl

URL = "https://shop.example/?e=caf%E9"
LOST = "https://shop.example/?e=caf%EF%BF%BD"
seen = {
    "furl": furl.furl(URL).url,
    "courlan": courlan.normalize_url(URL),
    "boltons": boltons.urlutils.URL(URL).to_text(full_quote=True),
    "yarl": str(yarl.URL(URL)),
    "w3lib": w3lib.url.canonicalize_url(URL),
    "url-normalize": url_normalize.url_normalize(URL),
}
for name, url in seen.items():
    print(f"{name:14} {url}")
assert {name for name, url in seen.items() if url == LOST} == {"furl", "courlan", "boltons"}
assert {name for name, url in seen.items() if url == URL} == {"yarl", "w3lib", "url-normalize"}
PYTHON
