#!/usr/bin/env bash
# Builds the three images with docker, podman or buildah, whichever is there: `k8s/images.sh [TAG]`.
#
# BASE, BASE_DIGEST   the base image (see the Dockerfile)
# REGISTRY            a prefix of the image names, for example example.org/ads/
# BUILDER             forces one of docker, podman, buildah
# BUILD_ARGS          passed on to the builder, for example --isolation=chroot
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in -h | --help)
    sed -n '2,7s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac
tag=${1:-$(git describe --always --dirty 2>/dev/null || echo dev)}
version=$(sed -n 's/^VERSION = "\(.*\)"$/\1/p' libs/common/version.py)
# The time of the commit, so that the same commit gives the same image.
stamp=$(git log -1 --format=%ct 2>/dev/null || echo 0)

usable() { case $1 in docker) docker info >/dev/null 2>&1 ;; *) command -v "$1" >/dev/null ;; esac }
builder=${BUILDER:-}
for candidate in docker podman buildah; do
    [ -n "$builder" ] || ! usable "$candidate" || builder=$candidate
done
[ -n "$builder" ] || {
    echo "none of docker (with a running engine), podman and buildah is here; install one of them" >&2
    exit 1
}

for service in gateway pool_manager tracer; do
    image=${REGISTRY:-}clicktrace-${service//_/-}:$tag
    echo "== $image, by $builder"
    arguments=(--build-arg "SERVICE=$service" --label "org.opencontainers.image.version=$version" -t "$image")
    [ -z "${BASE:-}" ] || arguments+=(--build-arg "BASE=$BASE")
    [ -z "${BASE_DIGEST:-}" ] || arguments+=(--build-arg "BASE_DIGEST=$BASE_DIGEST")
    # shellcheck disable=SC2206 # several words are meant
    arguments+=(${BUILD_ARGS:-})
    case $builder in
    docker) SOURCE_DATE_EPOCH=$stamp docker build "${arguments[@]}" . ;;
    # The format of Docker knows health checks, that of OCI does not.
    podman | buildah) "$builder" build --format docker --timestamp "$stamp" "${arguments[@]}" . ;;
    esac
done
