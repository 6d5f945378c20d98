# syntax=docker/dockerfile:1
# CPU by default. For CUDA: --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130
ARG BASE=docker.io/library/python:3.11-slim-bookworm

# hadolint ignore=DL3006
FROM ${BASE} AS build
# The index whose torch is taken: its local version (2.13.0+cpu) sorts above the plain one of PyPI.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# More arguments for pip, as `--no-index --find-links=/wheels` for a build without a network.
ARG PIP_ARGS=""
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python3 -m venv /opt/magnet
# Dependencies first: they change less often than the source, and this layer is the large one.
COPY pyproject.toml constraints.txt ./
COPY tools/requirements.py tools/requirements.py
# hadolint ignore=SC2086
RUN python3 tools/requirements.py server s3 > requirements.txt \
    && /opt/magnet/bin/pip install --extra-index-url "${TORCH_INDEX}" ${PIP_ARGS} \
        --constraint constraints.txt --requirement requirements.txt
COPY README.md LICENSE ./
COPY protos protos
COPY clients/python clients/python
COPY magnet_service magnet_service
# hadolint ignore=SC2086
RUN /opt/magnet/bin/pip install ${PIP_ARGS} --no-deps --constraint constraints.txt .

# hadolint ignore=DL3006
FROM ${BASE}
COPY --from=build /opt/magnet /opt/magnet
RUN groupadd --system --gid 10001 magnet \
    && useradd --system --uid 10001 --gid magnet --home-dir /var/lib/magnet --create-home magnet \
    && mkdir -p /generators /var/cache/magnet && chown magnet:magnet /generators /var/cache/magnet
ENV PATH=/opt/magnet/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    NUMBA_CACHE_DIR=/var/cache/magnet \
    MAGNET_HOST=0.0.0.0 \
    MAGNET_PORT=50051 \
    MAGNET_STORE=/var/lib/magnet/banks \
    MAGNET_CACHE=/var/cache/magnet/banks \
    MAGNET_REPOSITORIES=/generators
USER 10001:10001
WORKDIR /var/lib/magnet
VOLUME ["/generators", "/var/lib/magnet"]
EXPOSE 50051
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
    CMD ["sh", "-c", "exec magnet health --address 127.0.0.1:$MAGNET_PORT"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["magnet"]
CMD ["serve"]
