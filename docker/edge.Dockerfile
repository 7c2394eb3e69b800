# The edge. Targets: cpu (the default of docker-compose.yml) and gpu (its profile gpu).
#   docker build -f docker/edge.Dockerfile --target cpu -t latentedge:cpu .
#   docker build -f docker/edge.Dockerfile --target gpu -t latentedge:gpu . && docker run --gpus 1 latentedge:gpu
# TORCH is the argument of pip install, with options. On Linux, torch from PyPI is the CUDA build. The gpu target needs
# it. For the cpu target, name the CPU build of another index, which is some gigabytes smaller.

FROM python:3.11-slim-bookworm AS packages
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/latentedge
ENV PATH=/opt/latentedge/bin:$PATH
WORKDIR /app
ARG TORCH="torch==2.13.0"
# Unquoted: TORCH may hold options.
RUN pip install $TORCH
# Install the dependencies before the code, so that a change of the code does not invalidate their layer.
COPY pyproject.toml ./
RUN python -c "import subprocess, sys, tomllib; \
project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
sys.exit(subprocess.call([sys.executable, '-m', 'pip', 'install', *project['dependencies']]))"
# For slim.sh below; here, it need not be installed again when the code changes.
RUN apt-get update && apt-get install --yes --no-install-recommends binutils && rm -rf /var/lib/apt/lists/*
COPY README.md LICENSE NOTICE ./
COPY latentedge latentedge
COPY models models
COPY service service
RUN pip install --no-deps .

FROM packages AS slim-packages
COPY docker/slim.sh /app/
WORKDIR /
RUN sh /app/slim.sh /opt/latentedge /opt/numba

FROM python:3.11-slim-bookworm AS base
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin edge
ENV PATH=/opt/latentedge/bin:$PATH PYTHONUNBUFFERED=1 HOME=/tmp NUMBA_CACHE_DIR=/tmp/numba
COPY docker/start-edge.sh /usr/local/bin/start-edge
WORKDIR /
USER 10001:10001
EXPOSE 8080
# Plain sockets, because urllib takes twice the CPU time and would ask a proxy that HTTP_PROXY names. The start period ends
# with the first success, and is for a busy machine or a processor for which numba compiles anew.
HEALTHCHECK --interval=10s --timeout=5s --start-period=180s --retries=3 \
  CMD ["python", "-ISc", "import socket; s = socket.create_connection(('127.0.0.1', 8080), 4); \
s.sendall(b'GET /readyz HTTP/1.0\\r\\n\\r\\n'); raise SystemExit(b' 200 ' not in s.recv(16))"]
ENTRYPOINT ["sh", "/usr/local/bin/start-edge"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8080"]

FROM base AS gpu
COPY --from=packages /opt/latentedge /opt/latentedge
ENV EDGE_DEVICE=cuda NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility

FROM base AS cpu
COPY --from=slim-packages /opt/latentedge /opt/latentedge
COPY --from=slim-packages /opt/numba /opt/numba
ENV EDGE_DEVICE=cpu
