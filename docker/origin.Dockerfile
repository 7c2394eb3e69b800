# The origin of the compose project: the static server over the demonstration's photographs. It needs no torch.
# To serve your own pictures, mount a folder over /photographs.

FROM python:3.11-slim-bookworm
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 HOME=/tmp
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin origin
WORKDIR /app
RUN pip install httptools numpy pillow rich scikit-image scikit-learn starlette typer uvicorn
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY latentedge latentedge
COPY models models
COPY service service
RUN pip install --no-deps . && latentedge demo-photos --output /photographs
WORKDIR /
USER 10001:10001
EXPOSE 9000
ENTRYPOINT ["latentedge", "origin"]
CMD ["--dir", "/photographs", "--host", "0.0.0.0", "--port", "9000"]
