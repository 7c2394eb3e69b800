#!/bin/sh
# Remove from a virtual environment what an edge on a processor never opens, and warm it: the byte code of the modules
# that a start imports, and the machine code of numba. Fails if the codec does not work afterwards. Needs strip (binutils).
# Called in the build of docker/edge.Dockerfile: slim.sh VENV CACHE
set -eu
packages=$(echo "$1"/lib/python3.*/site-packages)
rm -rf "$packages"/torch/include "$packages"/torch/test "$packages"/torch/share/cmake
find "$packages"/torch/bin -type f ! -name torch_shm_manager -delete # which every import of torch looks for
# Tables for the linker and debuggers, which nothing loads when a program runs: a fifth of torch's library.
strip --strip-unneeded "$packages"/torch/lib/*.so "$packages"/llvmlite/binding/*.so
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

compile_coder()
codec = latentedge.Codec.load()
shades = np.linspace(40, 215, latentedge.HIGH_PX).astype(np.uint8)
picture = np.broadcast_to(shades[:, None, None], (latentedge.HIGH_PX, latentedge.HIGH_PX, 3)).copy()
symbols = codec.read(codec.encode(picture, quality=codec.default_quality))
for size_px in (latentedge.HIGH_PX, latentedge.MEDIUM_PX):
    (shown,) = codec.synthesize([symbols], size_px=size_px)
    wanted = picture[:: latentedge.HIGH_PX // size_px, :: latentedge.HIGH_PX // size_px]
    off = float(np.abs(shown.astype(float) - wanted).mean())
    print(f"decoded at {size_px} px: {off:.2f} levels off on average")
    if off > 2:
        raise SystemExit("the codec does not work in this environment")
WARM
