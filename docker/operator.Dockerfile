# Both operators. Build from the repository's root:
#   docker build --file docker/operator.Dockerfile --tag gatehouse-operator .
ARG PYTHON_IMAGE=docker.io/library/python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
RUN python -m venv --without-pip /opt/gatehouse
WORKDIR /src
# Before the code, so that a change of it downloads nothing again.
COPY requirements/build.txt requirements/operator.txt requirements/
RUN pip install --require-hashes --requirement requirements/build.txt \
 && pip --python /opt/gatehouse/bin/python install --require-hashes \
        --only-binary :all: --requirement requirements/operator.txt
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY operator operator
# Of the service it has the permissions, without what the service needs.
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /dist . ./operator \
 && pip --python /opt/gatehouse/bin/python install --no-deps /dist/*.whl

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="gatehouse-operator" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/gatehouse/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin gatehouse
COPY --from=build /opt/gatehouse /opt/gatehouse
WORKDIR /srv/gatehouse
COPY actions.json ./
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/livez', timeout=2)"]
CMD ["python", "-m", "gatehouse_operator.main_rbac"]
