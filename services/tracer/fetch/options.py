"""Sets the options of libcurl that hold for all transfers of a session."""

from collections.abc import Mapping
from dataclasses import dataclass

import pycurl

from services.tracer.fetch.response import Collector
from services.tracer.model.request import Policy, Proxy

_ACCEPT = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@dataclass(frozen=True, slots=True)
class TlsTrust:
    """Whose certificates are trusted: a bundle file, or a directory of hashed certificates if there is none."""

    file: str = ""
    directory: str = ""


def headers(policy: Policy) -> list[str]:
    """Returns the request headers that every hop sends, beside those that libcurl makes itself."""
    return [
        f"Accept: {_ACCEPT}",
        *([f"Accept-Language: {policy.accept_language}"] if policy.accept_language else []),
        # libcurl adds this header for old proxies, and a simple proxy would pass it on to the origin.
        "Proxy-Connection:",
    ]


def apply(curl: pycurl.Curl, share: pycurl.CurlShare, collector: Collector, policy: Policy) -> None:
    """Sets what does not depend on the proxy."""
    options: Mapping[int, object] = {
        pycurl.SHARE: share,
        pycurl.NOSIGNAL: 1,
        # The walk decides about redirects; credentials are set anew for each hop.
        pycurl.FOLLOWLOCATION: 0,
        pycurl.PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
        pycurl.HTTP09_ALLOWED: 0,
        # An empty name enables the cookie engine without reading a file.
        pycurl.COOKIEFILE: "",
        # Without zstd, which this libcurl cannot decode.
        pycurl.ENCODING: "gzip, deflate, br",
        pycurl.USERAGENT: policy.user_agent.encode(),
        pycurl.HTTPHEADER: headers(policy),
        pycurl.PROXYHEADER: ["Proxy-Connection:"],
        pycurl.HEADEROPT: pycurl.HEADER_SEPARATE,
        pycurl.PREREQFUNCTION: collector.before_request,
        pycurl.HEADERFUNCTION: collector.header,
        pycurl.WRITEFUNCTION: collector.body_part,
        # Called only while VERBOSE is set.
        pycurl.DEBUGFUNCTION: collector.debug,
        # Always set, so that no environment variable chooses a proxy.
        pycurl.PROXY: "",
        pycurl.NOPROXY: "",
        pycurl.SSL_VERIFYPEER: 0 if policy.allow_insecure_tls else 1,
        pycurl.SSL_VERIFYHOST: 0 if policy.allow_insecure_tls else 2,
    }
    for option, value in options.items():
        curl.setopt(option, value)


def trust(curl: pycurl.Curl, trusted: TlsTrust) -> None:
    """Sets whose certificates are trusted, of targets and of proxies."""
    for file_option, directory_option in (
        (pycurl.CAINFO, pycurl.CAPATH),
        (pycurl.PROXY_CAINFO, pycurl.PROXY_CAPATH),
    ):
        if trusted.file:
            # Without a directory libcurl caches the parsed bundle instead of parsing it for every connection.
            curl.setopt(file_option, trusted.file)
            curl.unsetopt(directory_option)
        elif trusted.directory:
            curl.unsetopt(file_option)
            curl.setopt(directory_option, trusted.directory)


def leave_through(curl: pycurl.Curl, proxy: Proxy) -> None:
    """Sets the proxy and its credentials."""
    host = f"[{proxy.host}]" if ":" in proxy.host else proxy.host
    curl.setopt(pycurl.PROXY, f"{proxy.protocol.value}://{host}:{proxy.port}")
    if proxy.username or proxy.password:
        curl.setopt(pycurl.PROXYAUTH, pycurl.HTTPAUTH_BASIC)
        curl.setopt(pycurl.PROXYUSERNAME, proxy.username.encode())
        curl.setopt(pycurl.PROXYPASSWORD, proxy.password.encode())
