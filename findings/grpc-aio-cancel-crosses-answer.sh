#!/usr/bin/env bash
# grpcio 1.85.0 (PyPI), grpc.aio, run on 2026-12-01.
#
# Expected: a handler can find out afterwards that its caller has cancelled: `add_done_callback` is called at the end of
#   the call, and `cancelled()` of its context then says so. A server that has granted something could take it back.
# Seen: where the cancel crosses the answer, the caller gets CancelledError and no answer, and the server sees a call that
#   went well: the handler runs to its end, the callback is called, and `cancelled()` is False. So what a unary call hands
#   out needs a caller that reads its answer in any case, or an end by time.
# Source: the reference of grpc.aio, ServicerContext.add_done_callback and .cancelled; RFC 9113 section 5.1: a stream that
#   both sides have ended is closed, and a RST_STREAM that arrives then has nothing to reset.
#
#   server: handler ran to its end, done callback called, cancelled() = False; client: CancelledError
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check grpcio==1.85.0
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio

import grpc
from grpc import aio


async def main() -> None:
    began, answer, done, seen = asyncio.Event(), asyncio.Event(), asyncio.Event(), []

    def over(context):
        seen.append(("cancelled", context.cancelled()))
        done.set()

    async def handle(_request, context):
        context.add_done_callback(over)
        began.set()
        await answer.wait()
        seen.append(("handler", "ran to its end"))
        return b"granted"

    server = aio.server()
    method = grpc.unary_unary_rpc_method_handler(handle)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("lab.Grants", {"Grant": method})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary("/lab.Grants/Grant")(b"")
        await began.wait()
        answer.set()
        call.cancel()
        try:
            await call
            client = "an answer"
        except asyncio.CancelledError:
            client = "CancelledError"
        async with asyncio.timeout(10):
            await done.wait()
    await server.stop(0)
    print("server:", dict(seen), "client:", client)
    assert dict(seen) == {"handler": "ran to its end", "cancelled": False}
    assert client == "CancelledError"


asyncio.run(main())
PYTHON
