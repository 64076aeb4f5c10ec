"""A bare pycurl loop that walks many chains at once: what a chain costs where nothing is judged, recorded or shared.

`python -m bench.peers.bare PROXY_PORT PATH COUNT` prints the seconds that each walk took.
"""

import sys
import time

import pycurl

from bench.peers.walkers import BareTrace


def main() -> None:
    """Walks, each through a proxy of its own."""
    port, path, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    multi = pycurl.CurlMulti()
    began = time.perf_counter()
    traces = {}
    for number in range(count):
        trace = BareTrace(multi, port, host=f"127.30.0.{number + 1}", start=f"http://start.test{path}")
        traces[trace.curl] = trace
    while traces:
        multi.perform()
        _, done, failed = multi.info_read()
        if failed:
            raise RuntimeError(f"a transfer failed: {failed}")
        for curl in done:
            if not traces[curl].next():
                del traces[curl]
                print(time.perf_counter() - began)
        if not done:
            multi.select(1.0)


if __name__ == "__main__":
    main()
