"""The results of a study, as files in its output folder: a JSON file and the weights of each training.

Every file is written under another name first and then renamed, so that a file that exists is complete. The JSON file
of a training comes last.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from pydantic import TypeAdapter
from safetensors.torch import load_file, save_file

from models.studies.kinds import KindFigures
from models.studies.negative_elbo import Nats
from models.studies.principal_blocks import LinearFigures
from models.studies.remedies import WayFigures
from models.studies.three_kinds import build

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from models.studies.design import Design
    from models.studies.three_kinds import Autoencoder

Found = TypeVar("Found")


class OtherStudyError(Exception):
    """The output folder holds a study with other options."""


@dataclass(frozen=True)
class Settings:
    """The options that must be equal for a later start to continue a study."""

    data: str
    valid: str | None
    minutes: float
    quick: bool
    seed: int
    seconds_each: float
    """Seconds of processor time for each training. A later start uses the value of the first start."""
    processor: str
    """The name of the processor of the first start."""


@dataclass(frozen=True)
class CodecPoint:
    """The released medium autoencoder at one quality, on the scored squares of 172 px."""

    quality: int
    nats: Nats
    stream_nats: float | None
    """Mean size of real bitstreams in nats, measured at one quality only."""


class Results:
    """The files of one study."""

    def __init__(self, folder: Path) -> None:
        """Use the files in `folder`, which may be empty."""
        self._folder, self._trainings = folder, folder / "trainings"

    def begin(self, settings: Settings) -> Settings:
        """Return the settings of the study in the folder. If there is none, write `settings` and return them.

        Raises `OtherStudyError` where the folder's study has other options.
        """
        if (self._folder / "study.json").exists():
            earlier = self.settings()
            same = replace(settings, seconds_each=earlier.seconds_each, processor=earlier.processor)
            if earlier != same:
                raise OtherStudyError(
                    f"{self._folder} holds a study with other options ({asdict(earlier)}): choose another folder"
                )
            return earlier
        self._trainings.mkdir(parents=True, exist_ok=True)
        _write(self._folder / "study.json", settings)
        return settings

    def settings(self) -> Settings:
        return _read(self._folder / "study.json", Settings)

    def has(self, name: str) -> bool:
        return self._json(name).exists()

    def add_kind(self, figures: KindFigures, weights: dict[str, Tensor]) -> None:
        file = self._weights(figures.name)
        fresh = file.with_suffix(".new")
        save_file({name: tensor.contiguous() for name, tensor in weights.items()}, fresh)
        fresh.replace(file)
        _write(self._json(figures.name), figures)

    def kind(self, name: str) -> KindFigures:
        return _read(self._json(name), KindFigures)

    def add_way(self, figures: WayFigures, shown: NDArray[np.uint8]) -> None:
        fresh = self._shown(figures.way).with_suffix(".new.npy")
        np.save(fresh, shown)
        fresh.replace(self._shown(figures.way))
        _write(self._json(f"way-{figures.way}"), figures)

    def way(self, way: str) -> WayFigures:
        return _read(self._json(f"way-{way}"), WayFigures)

    def shown(self, way: str) -> NDArray[np.uint8]:
        """Return the medium pictures (n, S, S, 3) that a way decodes for the sheets."""
        pictures: NDArray[np.uint8] = np.load(self._shown(way))
        return pictures

    def load(self, design: Design, *, most_parameters: int) -> Autoencoder:
        """Return the trained autoencoder of a design."""
        model = build(design, most_parameters=most_parameters)
        model.load_state_dict(load_file(self._weights(design.name)))
        return model

    def add_codec(self, points: Sequence[CodecPoint]) -> None:
        _write(self._folder / "codec.json", tuple(points))

    def codec(self) -> tuple[CodecPoint, ...]:
        """Return the codec's points, or none if they have not been measured."""
        return _read_list(self._folder / "codec.json", CodecPoint)

    def add_linear(self, figures: Sequence[LinearFigures]) -> None:
        _write(self._folder / "linear.json", tuple(figures))

    def linear(self) -> tuple[LinearFigures, ...]:
        """Return the figures of the linear maps, or none if they have not been measured."""
        return _read_list(self._folder / "linear.json", LinearFigures)

    def _json(self, name: str) -> Path:
        return self._trainings / f"{name}.json"

    def _shown(self, way: str) -> Path:
        return self._trainings / f"way-{way}.npy"

    def _weights(self, name: str) -> Path:
        return self._trainings / f"{name}.safetensors"


def _write(file: Path, found: object) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_bytes(TypeAdapter(object).dump_json(found, indent=1))
    fresh.replace(file)


def _read(file: Path, of: type[Found]) -> Found:
    return TypeAdapter(of).validate_json(file.read_bytes())


def _read_list(file: Path, of: type[Found]) -> tuple[Found, ...]:
    return TypeAdapter(tuple[of, ...]).validate_json(file.read_bytes()) if file.exists() else ()  # type: ignore[valid-type]  # a type at run time
