#!/usr/bin/env bash
# crawler-user-agents 1.67.0, device_detector 6.5.1 and user-agents 2.2.0 (PyPI), run on 2026-12-01.
#
# Expected: fetchers of link previews that name themselves are robots to every list of robots; they are what such lists
#   are for, and a click tracker must not take them for visitors.
# Seen: device_detector takes WhatsApp's fetcher for no robot, user-agents takes Skype's and that of Apple's Messages for
#   none, though the latter names three robots in one string. Only crawler-user-agents knows all of them, and it calls
#   curl and aiohttp crawlers as well, which the others do not.
# Source: the agents are those that the makers publish or send; the lists are the packages' own data.
#
#                  crawler-user-agents  device_detector  user-agents
#   WhatsApp       yes                  no               yes
#   Messages       yes                  yes              no
#   Skype          yes                  yes              no
#   Facebook       yes                  yes              yes
#   curl           yes                  no               no
#   aiohttp        yes                  no               no
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    crawler-user-agents==1.67.0 device_detector==6.5.1 user-agents==2.2.0
"$folder/venv/bin/python" - <<'PYTHON'
import crawleruseragents
import user_agents
from device_detector import DeviceDetector

MESSAGES = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_1) AppleWebKit/601.2.4 (KHTML, like Gecko) Version/9.0.1"
    " Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0"
)
AGENTS = {
    "WhatsApp": ("WhatsApp/2.23.20.0 A", (True, False, True)),
    "Messages": (MESSAGES, (True, True, False)),
    "Skype": ("Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5", (True, True, False)),
    "Facebook": (
        "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", (True, True, True),
    ),
    "curl": ("curl/8.5.0", (True, False, False)),
    "aiohttp": ("Python/3.11 aiohttp/3.9", (True, False, False)),
}
print(f"{'':10} {'crawler-user-agents':20} {'device_detector':16} user-agents")
for name, (agent, expected) in AGENTS.items():
    seen = (
        crawleruseragents.is_crawler(agent),
        DeviceDetector(agent).parse().is_bot(),
        user_agents.parse(agent).is_bot,
    )
    words = ["yes" if one else "no" for one in seen]
    print(f"{name:10} {words[0]:20} {words[1]:16} {words[2]}")
    assert seen == expected, name
PYTHON
