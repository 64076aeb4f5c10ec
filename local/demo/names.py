"""What the demo offers are called and where their chains start: all that one who creates them needs to know."""

OFFERS = ("demo", "demo-slow", "demo-broken")
"""The demo offers; `offers.chains` has the chain of each."""

ENTRANCE = "ads.demo.localhost"
"""The host that every chain starts at."""


def entrance_path(offer: str) -> str:
    """Returns the path that the chain of an offer starts at."""
    return f"/go/{offer}"


def tracking_url(offer: str, port: int) -> str:
    """Returns where the chain of an offer starts."""
    return f"http://{ENTRANCE}:{port}{entrance_path(offer)}"
