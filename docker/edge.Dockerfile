# The edge. Targets: cpu (the default of docker-compose.yml) and gpu (its profile gpu).
#   docker build -f docker/edge.Dockerfile --target cpu -t latentedge:cpu .
#   docker build -f docker/edge.Dockerfile --target gpu -t latentedge:gpu . && docker run --gpus 1 latentedge:gpu
# TORCH is the argument of pip install, with options. On Linux, torch from PyPI is the CUDA build. The gpu target needs
# it. For the cpu target, name the CPU build of another index, which is some gigabytes smaller.

FROM python:3.11-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 HOME=/tmp
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin edge
WORKDIR /app
ARG TORCH="torch==2.13.0"
# Unquoted: TORCH may hold options.
RUN pip install $TORCH
# Install the dependencies before the code, so that a change of the code does not invalidate their layer.
COPY pyproject.toml ./
RUN python -c "import subprocess, sys, tomllib; \
project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
sys.exit(subprocess.call([sys.executable, '-m', 'pip', 'install', *project['dependencies']]))"
COPY README.md LICENSE NOTICE ./
COPY latentedge latentedge
COPY models models
COPY service service
RUN pip install --no-deps .
WORKDIR /
USER 10001:10001
EXPOSE 8080
ENTRYPOINT ["latentedge"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8080"]

FROM base AS gpu
ENV EDGE_DEVICE=cuda NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility

FROM base AS cpu
ENV EDGE_DEVICE=cpu
