"""Where the last good chains of each offer ended, without what belongs to one visitor."""

from collections.abc import Iterable

from services.gateway.parameters import SplitUrl, parse, serialize


class LastLandings:
    """Remembers the last two landing pages of each offer; what they share belongs to no visitor."""

    def __init__(self) -> None:
        """Begins without any."""
        self._last: dict[str, tuple[str, str]] = {}

    def load(self, landings: Iterable[tuple[str, str]]) -> None:
        """Takes offers and URLs, older ones first."""
        for offer, url in landings:
            self.note(offer, url)

    def note(self, offer: str, url: str) -> None:
        """Remembers that a chain of an offer ended on a landing page."""
        previous = self._last.get(offer, ("", ""))[1]
        self._last[offer] = (previous, url)

    def find(self, offer: str) -> str | None:
        """Returns the last landing page of an offer without its per-click parameters; None if it is not known.

        A parameter is per click unless the last two clicks had it with the same value. A page is known once two clicks
        in a row have ended on it: before that its very path could be one visitor's own.
        """
        previous, last = (SplitUrl.of(url) for url in self._last.get(offer, ("", "")))
        if not previous.base or previous.base != last.base:
            return None
        shared = set(parse(previous.query or ""))
        query = serialize(parameter for parameter in parse(last.query or "") if parameter in shared)
        fragment = last.fragment if last.fragment == previous.fragment else None
        return str(SplitUrl(last.base, query or None, fragment))
