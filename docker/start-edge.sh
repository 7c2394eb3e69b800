#!/bin/sh
# Start latentedge in the image. The machine code of numba comes with the image, but numba uses a cache only if it can
# write to it, and the root file system is read-only: so it is copied to /tmp. On a processor of another kind than that of
# the build, the workers compile anew at each start of a container.
set -eu
if [ -d /opt/numba ] && [ -n "${NUMBA_CACHE_DIR:-}" ] && [ ! -e "$NUMBA_CACHE_DIR" ]; then
  cp -a /opt/numba "$NUMBA_CACHE_DIR" || echo "latentedge: the compiled entropy coder cannot be copied to $NUMBA_CACHE_DIR" >&2
fi
exec latentedge "$@"
