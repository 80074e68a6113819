# optout-proxy: `serve`, `work` and every other command, as one user without rights.
# The root file system may be read-only; /data is the one volume: settings, secrets, SQLite.
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
WORKDIR /src
COPY deploy/requirements-build.lock deploy/requirements-image.lock deploy/
RUN python3 -m venv /builder \
 && /builder/bin/pip install --no-cache-dir --require-hashes -r deploy/requirements-build.lock \
 && python3 -m venv /opt/optout-proxy \
 && /opt/optout-proxy/bin/pip install --no-cache-dir --require-hashes -r deploy/requirements-image.lock
COPY . .
# What nobody runs in it goes again: installers, other libraries' commands and test suites.
RUN /builder/bin/hatchling build -t wheel \
 && /opt/optout-proxy/bin/pip install --no-cache-dir --no-deps --no-index dist/*.whl \
 && /opt/optout-proxy/bin/pip uninstall --yes --quiet pip \
 && cd /opt/optout-proxy/lib/python3*/site-packages \
 && rm -rf setuptools* pkg_resources _distutils_hack distutils-precedence.pth sqlalchemy/testing \
 && find /opt/optout-proxy/bin -type f ! -name optout-proxy -delete

FROM ${BASE}
# tini reaps what is orphaned and hands signals on: a main process of number 1 would miss them.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends tini \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* \
 && groupadd --gid 10001 optout \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin optout \
 && install --directory --owner 10001 --group 10001 --mode 0700 /data
COPY --from=build /opt/optout-proxy /opt/optout-proxy
ENV PATH=/opt/optout-proxy/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["python3", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
ENTRYPOINT ["tini", "--", "optout-proxy"]
CMD ["serve", "--bind", "0.0.0.0:8080"]
