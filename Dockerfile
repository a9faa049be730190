# The worker and what it needs, from the same hashed versions as everywhere else.
FROM python:3.12-slim

WORKDIR /app
ENV NUMBA_CACHE_DIR=/app/.numba PYTHONUNBUFFERED=1

COPY requirements-worker.txt .
RUN --mount=type=cache,target=/root/.cache/pip pip install --require-hashes -r requirements-worker.txt

COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY detectors detectors
COPY streams streams
COPY tidegauge tidegauge
RUN pip install --no-deps --no-build-isolation -e . && pip uninstall --yes setuptools

# Compile the kernels now rather than at every start. The cache is the worker's to add to: on another
# processor than this one's it is compiled anew.
RUN python -c "import tidegauge.streams.runtime.worker" \
    && useradd --system --uid 10001 tidegauge && chown -R tidegauge "$NUMBA_CACHE_DIR"

USER 10001
ENTRYPOINT ["tidegauge"]
CMD ["worker"]
