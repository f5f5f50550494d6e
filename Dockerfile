# The worker's image: one stage compiles, one runs. docs/docker.md tells what is in it and why.
# Deployments build with BASE="$(scripts/base_image)": the same tag by its digest.
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS build

RUN apt-get update \
 && apt-get install --yes --no-install-recommends \
      gcc libc6-dev libdav1d-dev libde265-dev libjpeg62-turbo-dev liblcms2-dev libwebp-dev zlib1g-dev \
 && rm -rf /var/lib/apt/lists/*

# Dependencies before code: they change seldom, and this is the step that takes minutes.
WORKDIR /build
COPY requirements/build.lock requirements/runtime.lock ./
COPY docker/slim docker/
# The flags go into CC, because CFLAGS would drop the -O3 of Python's own build. Nothing but Pillow-SIMD is compiled,
# and on other machines than x86-64 the lock's markers take Pillow's wheel in its place.
RUN --mount=type=cache,target=/var/cache/pip \
    export PIP_CACHE_DIR=/var/cache/pip \
 && python -m venv /opt/venv \
 && pip="/opt/venv/bin/python -m pip --disable-pip-version-check --quiet" \
 && $pip install --no-compile --require-hashes --requirement build.lock \
 && CC="cc -mavx2" $pip install --no-compile --require-hashes --no-build-isolation \
      --only-binary :all: --no-binary pillow-simd \
      --config-settings webp=enable --config-settings jpeg=enable --config-settings lcms=enable \
      --requirement runtime.lock \
 && docker/slim /opt/venv \
 && /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib

COPY worker /app/worker
RUN cd /app/worker/images \
 && include=$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("include"))') \
 && for module in jpeg:jpeg jpeg_rows:jpeg webp:webp lanczos:m hevc:de265 av1:dav1d; do name=${module%:*}; library=${module#*:}; \
      cc -O3 -Wall -shared -fPIC -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 \
        -Wl,-z,relro -Wl,-z,now "-I$include" "_$name.c" "-l$library" -o "_$name.so" || exit 1; \
    done \
 && strip --strip-unneeded _*.so && rm _*.[ch] _*.pyi
RUN /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /app


FROM ${BASE}

# The libraries that Pillow-SIMD and our own C code were linked with: decoders of HEVC and AV1, and no encoders.
# Besides, what only an installer needs goes: a worker installs nothing.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends \
      ca-certificates libdav1d7 libde265-0 libjpeg62-turbo liblcms2-2 libwebp7 libwebpdemux2 libwebpmux3 zlib1g \
 && rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/* \
      /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/ensurepip \
      /usr/bin/pip* /usr/lib/python3/dist-packages/pip* \
 && useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin worker

COPY --from=build /opt/venv /opt/venv
COPY docker/healthcheck.py /app/docker/
COPY --from=build /app/worker /app/worker

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp

# The folder that it is started in is a person's (`docker run --workdir`): what lies there is no code of ours.
ENV PYTHONSAFEPATH=1

# The last chance to write bytecode: the root is read-only from here on.
RUN --mount=type=bind,source=docker/warm.py,target=/tmp/warm.py python /tmp/warm.py
ENV PYTHONDONTWRITEBYTECODE=1

# The bill of materials: what is in this very image, so that it travels with it to every registry.
RUN --mount=type=bind,source=scripts/make_sbom.py,target=/tmp/make_sbom.py \
    mkdir /usr/share/doc/collage-worker && python /tmp/make_sbom.py > /usr/share/doc/collage-worker/sbom.cdx.json

# Declared, an empty volume that is mounted here takes over who may write to it: on Fargate the user below could not.
VOLUME ["/tmp"]
WORKDIR /app
USER 10001:10001
STOPSIGNAL SIGTERM

# Not `python -m worker health`: that looks at S3, SQS and DynamoDB, and an outage there is no reason to kill a worker.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-IS", "/app/docker/healthcheck.py"]

ENTRYPOINT ["python", "-m", "worker"]
CMD ["run"]

ARG BASE
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="collage-worker" \
      org.opencontainers.image.description="Turns manifests of cover URLs into one grid collage per creator" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${BASE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
