"""The pictures of the demonstration: photographs in two Python packages and crops of them, or a user's folder."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from models.config import HIGH_PX
from service.commands.failure import CommandFailure
from service.commands.output_folder import prepare_folder
from service.serving.origin_server import MEDIA_TYPES

# All colour photographs of at least 344 px in the wheels of scikit-learn and scikit-image, except microscopy and the
# second picture of a stereo pair. (scikit-image downloads its other photographs.)
BUNDLED = (
    ("sklearn.datasets.images", "china.jpg"),
    ("skimage.data", "coffee.png"),
    ("sklearn.datasets.images", "flower.jpg"),
    ("skimage.data", "astronaut.png"),
    ("skimage.data", "motorcycle_left.png"),
    ("skimage.data", "rocket.jpg"),
    ("skimage.data", "retina.jpg"),
    ("skimage.data", "hubble_deep_field.jpg"),
)
CROPS_EACH = 19  # crops of each photograph (assumed): with 160 pictures in all, 2,000 requests fill the cache
SHEET_PICTURES = 6
_JPEG_QUALITY = 92
_SEED = 2


@dataclass(frozen=True)
class PhotoFolder:
    """A folder of photographs, their names, and a sentence that describes the folder."""

    folder: Path
    names: tuple[str, ...]  # the paths of all pictures relative to the folder, which are their image ids
    featured: tuple[str, ...]  # the names of the pictures that are shown on the sheet
    sentence: str


def write_photographs(folder: Path) -> PhotoFolder:
    """Write the photographs of the two packages and their crops as JPEG files. Raises CommandFailure."""
    prepare_folder(folder)
    draw = np.random.default_rng(_SEED)
    photographs: list[str] = []
    crops: list[str] = []
    for stem, photograph in _read_bundled():
        photographs.append(_save(photograph, folder / f"{stem}.jpg"))
        crops.extend(
            _save(crop, folder / f"{stem}-{number:02}.jpg")
            for number, crop in enumerate(_crops(photograph, draw), start=1)
        )
    return PhotoFolder(
        folder,
        names=(*photographs, *crops),
        featured=tuple(photographs[:SHEET_PICTURES]),
        sentence=f"{len(photographs)} photographs and {len(crops)} crops of these {len(photographs)}",
    )


def find_photographs(folder: Path) -> PhotoFolder:
    """Find the pictures below a user's folder. Raises CommandFailure if there are none."""
    if not folder.is_dir():
        raise CommandFailure(f"latentedge: --photos: {folder} is not a folder")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in MEDIA_TYPES and path.is_file())
    names = tuple(str(path.relative_to(folder)) for path in files)
    if not names:
        raise CommandFailure(f"latentedge: there are no pictures in {folder} ({', '.join(sorted(MEDIA_TYPES))})")
    return PhotoFolder(
        folder, names=names, featured=names[:SHEET_PICTURES], sentence=f"{len(names)} pictures of {folder}"
    )


def _read_bundled() -> Iterator[tuple[str, Image.Image]]:
    for package, name in BUNDLED:
        try:
            with (resources.files(package) / name).open("rb") as file, Image.open(file) as photograph:
                yield name.partition(".")[0], photograph.convert("RGB")
        except (ModuleNotFoundError, FileNotFoundError, UnidentifiedImageError) as error:
            raise CommandFailure(
                f"latentedge: no photograph {name} is installed: run `pip install 'latentedge[demo]'`, or give --photos"
            ) from error


def _crops(photograph: Image.Image, draw: np.random.Generator) -> Iterator[Image.Image]:
    """Yield square crops of random position and size, of at least 344 px, so that the edge enlarges none of them."""
    shorter_px = min(photograph.size)
    for _ in range(CROPS_EACH):
        side_px = int(draw.integers(HIGH_PX, max(HIGH_PX, round(0.9 * shorter_px)) + 1))
        left = int(draw.integers(photograph.width - side_px + 1))
        top = int(draw.integers(photograph.height - side_px + 1))
        yield photograph.crop((left, top, left + side_px, top + side_px))


def _save(picture: Image.Image, path: Path) -> str:
    picture.save(path, "JPEG", quality=_JPEG_QUALITY)
    return path.name
