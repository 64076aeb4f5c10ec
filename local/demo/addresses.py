"""Where the demo proxies live on the loopback network."""


def proxy_address(index: int) -> str:
    """Returns where the demo proxy of that number (from 1) listens, and leaves from."""
    return f"127.77.0.{index}"
