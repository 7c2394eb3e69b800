#!/bin/sh
# Remove from a virtual environment what an edge on a processor never opens, and warm it: the byte code of the modules
# that a start imports, and the machine code of numba. Called in the build of docker/edge.Dockerfile: slim.sh VENV CACHE
set -eu
packages=$(echo "$1"/lib/python3.*/site-packages)
rm -rf "$packages"/torch/include "$packages"/torch/test "$packages"/torch/share/cmake
find "$packages"/torch/bin -type f ! -name torch_shm_manager -delete # which every import of torch looks for
find "$packages" -type d -name tests -prune -exec rm -rf {} +
find "$packages" -type d -name __pycache__ -prune -exec rm -rf {} +
"$1"/bin/python -m pip uninstall --quiet --yes pip setuptools
find "$packages" -type d -name __pycache__ -prune -exec rm -rf {} +
mkdir -p "$2"
NUMBA_CACHE_DIR="$2" "$1"/bin/python - <<'WARM'
import numpy as np

import latentedge
from models.screen.stream import compile_coder
from service.serving import edge_app, launch  # noqa: F401  (their byte code)

codec = latentedge.Codec.load()
grey = np.full((latentedge.HIGH_PX, latentedge.HIGH_PX, 3), 128, np.uint8)
symbols = codec.read(codec.encode(grey, quality=codec.default_quality))
for size_px in (latentedge.HIGH_PX, latentedge.MEDIUM_PX):
    codec.synthesize([symbols], size_px=size_px)
compile_coder()
WARM
