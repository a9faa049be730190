# The worker, from the same hashed lock as everywhere else.
FROM python:3.12-slim

WORKDIR /app
ENV NUMBA_CACHE_DIR=/app/.numba PYTHONUNBUFFERED=1

COPY requirements.txt .
RUN pip install --no-cache-dir --require-hashes -r requirements.txt

COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY detectors detectors
COPY streams streams
COPY tidegauge tidegauge
RUN pip install --no-cache-dir --no-deps --no-build-isolation -e .

# Compile the kernels now rather than at every start; the cache is the worker's to add to.
RUN python -c "import importlib, pkgutil, detectors; \
    [importlib.import_module(m.name) for m in pkgutil.walk_packages(detectors.__path__, 'detectors.')]" \
    && useradd --system tidegauge && chown -R tidegauge "$NUMBA_CACHE_DIR"

USER tidegauge
ENTRYPOINT ["tidegauge"]
CMD ["worker"]
