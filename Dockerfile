# One image per service: `docker build --build-arg SERVICE=tracer .`, or all three with `make images`.
#
# SERVICE      gateway, pool_manager or tracer
# BASE         a Python 3.11 or newer with glibc; BASE_DIGEST (sha256:…) pins it to the byte
# Offline      put wheels into ./wheels (`make wheels`); then no index is asked
ARG BASE=python:3.11-slim-bookworm
ARG BASE_DIGEST=
ARG SERVICE=gateway

FROM ${BASE}${BASE_DIGEST:+@}${BASE_DIGEST} AS build
# The brackets make the wheels optional: a pattern that matches nothing is no error beside a file that is there.
COPY requirements.txt wheel[s] /wheels/
# Wheels only, so no compiler is needed here either; --without-pip, so no installer is in the result.
RUN python3 -m venv --without-pip /opt/clicktrace \
    && if ls /wheels/*.whl >/dev/null 2>&1; then from="--no-index --find-links /wheels"; fi \
    && python3 -m pip --python /opt/clicktrace/bin/python install --no-cache-dir --disable-pip-version-check \
        --only-binary :all: --require-hashes --no-compile ${from:-} -r /wheels/requirements.txt
COPY clicktrace /app/clicktrace
COPY libs /app/libs
COPY services /app/services
# Compiled here, since nobody may write later; by hash, because a time of day in them would make every build another one.
RUN /opt/clicktrace/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/clicktrace/lib /app

FROM ${BASE}${BASE_DIGEST:+@}${BASE_DIGEST} AS runtime
# A number, because `runAsNonRoot` cannot judge a name.
USER 10001:10001
WORKDIR /app
# Nothing is written beside the code: the root filesystem is read-only.
ENV PATH=/opt/clicktrace/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 LOG_FORMAT=json
COPY --from=build /opt/clicktrace /opt/clicktrace
COPY --from=build /app/clicktrace clicktrace
COPY --from=build /app/libs libs
COPY --from=build /app/services/__init__.py services/
ENTRYPOINT ["python", "-m"]

FROM runtime AS gateway
COPY --from=build /app/services/gateway services/gateway
ENV GATEWAY_LISTEN=:8080 GATEWAY_INTERNAL_LISTEN=:8081 GATEWAY_GRPC_LISTEN=:50053 GATEWAY_HEALTH_LISTEN=:50060
EXPOSE 8080 8081 50053 50060
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["python", "-m", "libs.common.rpc.probe", "127.0.0.1:50060"]
CMD ["services.gateway"]

FROM runtime AS pool_manager
COPY --from=build /app/services/pool_manager services/pool_manager
ENV POOL_LISTEN=:50051 POOL_METRICS_LISTEN=:9464 POOL_HEALTH_LISTEN=:50060
EXPOSE 50051 9464 50060
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["python", "-m", "libs.common.rpc.probe", "127.0.0.1:50060"]
CMD ["services.pool_manager"]

FROM runtime AS tracer
COPY --from=build /app/services/tracer services/tracer
ENV TRACER_LISTEN=:50052 TRACER_METRICS_LISTEN=:9464 TRACER_HEALTH_LISTEN=:50060
EXPOSE 50052 9464 50060
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["python", "-m", "libs.common.rpc.probe", "127.0.0.1:50060"]
CMD ["services.tracer"]

FROM ${SERVICE}
