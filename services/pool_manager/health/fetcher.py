"""Fetches the probe URL through a proxy, with libcurl."""

import asyncio
import ipaddress
import json
from typing import Any

import pycurl

from libs.common.process import logs
from services.pool_manager.health.prober import Exit
from services.pool_manager.model.proxies import Protocol, Proxy

log = logs.get(__name__)

_CONNECT_MILLISECONDS = 5_000
_TOTAL_MILLISECONDS = 15_000
_MAX_BYTES = 65_536

# CURLPROXY_HTTPS of curl.h, which pycurl leaves without a name.
_PROXYTYPE_HTTPS = 2

_TYPES = {
    Protocol.HTTP: pycurl.PROXYTYPE_HTTP,
    Protocol.HTTPS: _PROXYTYPE_HTTPS,
    Protocol.SOCKS5: pycurl.PROXYTYPE_SOCKS5_HOSTNAME,
}
_ADDRESS_KEYS = ("ip", "ip_address", "origin", "query", "address")
_COUNTRY_KEYS = ("country", "country_code", "countryCode", "cc")


class ProbeFetcher:
    """Fetches one URL through many proxies."""

    def __init__(self, url: str) -> None:
        """Prepares to fetch `url`, which answers with the address it sees: as text, or as JSON with a country."""
        self._url = url

    async def __call__(self, proxy: Proxy, username: str, password: str) -> Exit | None:
        """Returns the exit that the URL saw; None if it is unreachable or its answer malformed. Takes 15 s at most."""
        body = await asyncio.to_thread(_fetch, self._url, proxy, username, password)
        seen = None if body is None else read_exit(body)
        if body is not None and seen is None:
            log.warning("probe.senseless", hint="the probe URL must answer with an address, as text or as JSON")
        return seen


def read_exit(body: bytes) -> Exit | None:
    """Reads the answer of a probe URL; None if there is no address in it."""
    text = body.decode("utf-8", "replace").strip()
    try:
        values = json.loads(text)
    except ValueError:
        values = {"ip": text}
    if not isinstance(values, dict):
        return None
    address = next((values[key] for key in _ADDRESS_KEYS if isinstance(values.get(key), str)), "")
    country = next((values[key] for key in _COUNTRY_KEYS if isinstance(values.get(key), str)), "").lower()
    try:
        literal = ipaddress.ip_address(address)
    except ValueError:
        return None
    return Exit(str(literal), country if len(country) == 2 and country.isascii() and country.isalpha() else "")


def _fetch(url: str, proxy: Proxy, username: str, password: str) -> bytes | None:
    if proxy.protocol not in _TYPES:
        # One that a newer build has added: only that can say whether the IP is back.
        log.info("probe.failed", ip_address=proxy.ip_address, curl_error=pycurl.E_UNSUPPORTED_PROTOCOL)
        return None
    chunks: list[bytes] = []
    size = 0

    def take(chunk: bytes) -> int:
        nonlocal size
        size += len(chunk)
        chunks.append(chunk)
        # Anything but the length of the chunk ends the transfer.
        return len(chunk) if size <= _MAX_BYTES else 0

    curl: Any = pycurl.Curl()
    try:
        curl.setopt(pycurl.URL, url)
        curl.setopt(pycurl.PROXY, f"[{proxy.ip_address}]" if ":" in proxy.ip_address else proxy.ip_address)
        curl.setopt(pycurl.PROXYPORT, proxy.ip_port)
        curl.setopt(pycurl.PROXYTYPE, _TYPES[proxy.protocol])
        # Proxy variables of the environment must not apply.
        curl.setopt(pycurl.NOPROXY, "")
        if username:
            curl.setopt(pycurl.PROXYUSERNAME, username)
            curl.setopt(pycurl.PROXYPASSWORD, password)
        curl.setopt(pycurl.FAILONERROR, True)
        curl.setopt(pycurl.NOSIGNAL, True)
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, _CONNECT_MILLISECONDS)
        curl.setopt(pycurl.TIMEOUT_MS, _TOTAL_MILLISECONDS)
        curl.setopt(pycurl.WRITEFUNCTION, take)
        curl.perform()
    except pycurl.error as error:
        # The number alone: the text may name what was in the request.
        log.info("probe.failed", ip_address=proxy.ip_address, curl_error=error.args[0])
        return None
    finally:
        curl.close()
    return b"".join(chunks)
