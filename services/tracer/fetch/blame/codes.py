"""Groups of CURLcodes that mean the same to a walk."""

import pycurl

from services.tracer.fetch.failures import Breakdown

# Codes that pycurl has no names for.
E_PROXY = 97
E_HTTP2_STREAM = 92
E_SSL_CLIENTCERT = 98
E_TOO_LARGE = 100

TLS = frozenset(
    {
        pycurl.E_SSL_CONNECT_ERROR,
        pycurl.E_PEER_FAILED_VERIFICATION,
        pycurl.E_SSL_CERTPROBLEM,
        pycurl.E_SSL_CIPHER,
        pycurl.E_SSL_ISSUER_ERROR,
        pycurl.E_SSL_INVALIDCERTSTATUS,
        pycurl.E_USE_SSL_FAILED,
        E_SSL_CLIENTCERT,
    }
)
HTTP2 = frozenset({pycurl.E_HTTP2, E_HTTP2_STREAM})
MALFORMED = HTTP2 | {
    8,  # CURLE_WEIRD_SERVER_REPLY
    pycurl.E_UNSUPPORTED_PROTOCOL,  # HTTP/0.9
    pycurl.E_BAD_CONTENT_ENCODING,
}
RESET = frozenset({pycurl.E_RECV_ERROR, pycurl.E_SEND_ERROR, pycurl.E_PARTIAL_FILE})
TIMED_OUT = frozenset({pycurl.E_OPERATION_TIMEDOUT})


def is_too_large(down: Breakdown) -> bool:
    """Returns whether the headers were larger than libcurl reads."""
    return down.code == E_TOO_LARGE or (down.code == pycurl.E_RECV_ERROR and down.words.startswith("Too large"))


def is_no_http(down: Breakdown) -> bool:
    """Returns whether what came is not HTTP, or not HTTP that is read."""
    return down.code in MALFORMED or is_too_large(down)
