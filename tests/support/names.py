"""A small DNS server whose answers a test changes, as a cluster's do when pods come and go."""

from types import TracebackType
from typing import Any, Self

from dnslib import QTYPE, RCODE, RR, A
from dnslib.server import BaseResolver, DNSLogger, DNSServer

from local.ports import free_ports


class Names(BaseResolver):  # type: ignore[misc]  # dnslib has no types
    """Serves addresses of names on the loopback, over UDP and TCP; entered as a context manager."""

    def __init__(self) -> None:
        self.addresses: dict[str, tuple[str, ...]] = {}
        (self.port,) = free_ports(1)
        quiet = DNSLogger(logf=lambda _line: None)
        self._servers = [
            DNSServer(self, address="127.0.0.1", port=self.port, tcp=tcp, logger=quiet) for tcp in (False, True)
        ]

    def __enter__(self) -> Self:
        for server in self._servers:
            server.start_thread()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.stop()
            server.server.server_close()
            server.thread.join()

    def target(self, name: str, port: int) -> str:
        """Returns the target of a channel that asks this server."""
        return f"dns://127.0.0.1:{self.port}/{name}:{port}"

    def resolve(self, request: Any, _handler: Any) -> Any:
        """Answers a question; a name that is not known does not exist."""
        reply = request.reply()
        name = str(request.q.qname).rstrip(".")
        known = self.addresses.get(name)
        if known is None:
            reply.header.rcode = RCODE.NXDOMAIN
        elif request.q.qtype == QTYPE.A:
            for address in known:
                reply.add_answer(RR(request.q.qname, QTYPE.A, ttl=0, rdata=A(address)))
        return reply
