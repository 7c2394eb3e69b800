"""The result of an evaluation, and its JSON for scripts: a file with all figures, and one line with the main ones."""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from models.config import HIGH_PX, MEDIUM_PX
from models.evaluation.anchor_rates import AnchorRate
from models.evaluation.cost import DecoderCost, StageTimes
from models.evaluation.deployed import DeployedHead
from models.evaluation.figures import BdRate, MeanPoint, Metric, Ours, PairRatio, PictureScores, TranslatorGap
from models.evaluation.per_picture import PictureRate
from models.evaluation.screens import ScreenedPicture


@dataclass(frozen=True)
class Evaluation:
    folder: str
    quick: bool
    default_quality: int
    anchor_settings: dict[str, str]  # the encoder settings of each anchor by its name, in the order of the tables
    anchor_libraries: str  # the libraries that encode the anchors, with their versions
    bd_rates: tuple[BdRate, ...]
    anchor_rates: tuple[AnchorRate, ...]
    cpu_head_losses: tuple[BdRate, ...]  # BD-rates of `high-cpu` against `high-gpu`, from the same bitstreams
    pair_ratios: tuple[PairRatio, ...]
    translator_gaps: tuple[TranslatorGap, ...]
    mean_points: tuple[MeanPoint, ...]
    picture_rates: tuple[PictureRate, ...]
    decoders: tuple[DecoderCost, ...]
    times: StageTimes
    deployed: tuple[DeployedHead, ...]  # figures with the search for better latents; empty if it was not measured
    pictures: tuple[PictureScores, ...]
    screens: tuple[ScreenedPicture, ...]  # the pictures that EDGE_SCREEN=auto keeps as screen streams

    def points(self, ours: Ours) -> list[MeanPoint]:
        return [one for one in self.mean_points if one.name == ours]

    def at_default(self, ours: Ours) -> MeanPoint:
        return next(one for one in self.points(ours) if one.quality == self.default_quality)


def write_json(evaluation: Evaluation, path: Path) -> None:
    path.write_text(json.dumps(asdict(evaluation), indent=1, default=str) + "\n")


def main_figures_line(evaluation: Evaluation) -> str:
    """Return the main figures as one line of JSON; a BD-rate or ratio that could not be computed is null."""
    high, medium = (evaluation.at_default(ours) for ours in (Ours.HIGH, Ours.MEDIUM))
    gaps = evaluation.translator_gaps
    return json.dumps(
        {
            "folder": evaluation.folder,
            "pictures": len(evaluation.pictures),
            "quick": evaluation.quick,
            "screens": len(evaluation.screens),
            **{
                f"bd_{_short(one.ours)}_{one.metric}_{_key(one.anchor)}": _round(one.percent, 2)
                for one in evaluation.bd_rates
            },
            **{
                f"cpu_head_loss{_of_metric(one.metric)}_percent": _round(one.percent, 2)
                for one in evaluation.cpu_head_losses
            },
            **{
                f"bd_{_key(one.name)}_{one.metric}_{_key(one.against)}": _round(one.percent, 2)
                for one in evaluation.anchor_rates
                if one.name != one.against
            },
            **{
                f"pair_ratio_{one.metric}_{_key(one.anchor)}": _round(one.ratio, 3)
                for one in evaluation.pair_ratios
                if one.quality == evaluation.default_quality
            },
            "translator_gap_db": round(sum(one.psnr_db for one in gaps) / len(gaps), 3),
            "translator_gap_worst_quality_db": round(max(one.psnr_db for one in gaps), 3),
            "default_quality": evaluation.default_quality,
            "default_bytes": round(high.size_bytes),
            "default_psnr_344_db": round(high.psnr_db, 2),
            "default_ssimulacra2_344": round(high.ssimulacra2, 2),
            "default_psnr_172_db": round(medium.psnr_db, 2),
            "default_ssimulacra2_172": round(medium.ssimulacra2, 2),
            **_cost_figures(evaluation),
            **{key: value for one in evaluation.deployed for key, value in _deployed_figures(one).items()},
        }
    )


def _cost_figures(evaluation: Evaluation) -> dict[str, float]:
    costs, read_ms = evaluation.decoders, evaluation.times.read_ms
    return {
        "means_macs": costs[0].means_macs,
        **{f"decoder_{_short(one.ours)}_macs": one.macs for one in costs},
        **{f"decoder_{_short(one.ours)}_kmac_per_px": round(one.kmac_per_px, 2) for one in costs},
        **{f"decoder_{_short(one.ours)}_parameters": one.parameters for one in costs},
        "encode_ms": round(evaluation.times.encode_ms, 2),
        **{f"decode_{_short(one.ours)}_ms": round(read_ms + one.synthesize_ms, 2) for one in costs},
    }


def _deployed_figures(one: DeployedHead) -> dict[str, float | None]:
    """Return the figures of a search by keys that name its head and steps: `gain_344_cpu_172_psnr_searched_40`."""
    end = f"searched_{one.steps}"
    head = _short(one.head)
    return {
        f"seconds_{head}_{end}": round(one.seconds, 2),
        **{f"gain_{head}_{_short(gain.ours)}_{gain.metric}_{end}": _round(gain.percent, 2) for gain in one.gains},
        **{
            f"bd_{head}_{_short(rate.ours)}_{rate.metric}_{_key(rate.anchor)}_{end}": _round(rate.percent, 2)
            for rate in one.rates
        },
        **{f"pair_ratio_{head}_{two.metric}_{_key(two.anchor)}_{end}": _round(two.ratio, 3) for two in one.pairs},
    }


def _key(anchor: str) -> str:
    """Convert an anchor's name to a part of a JSON key: "AVIF tune=ssim" becomes "avif_tune_ssim"."""
    return re.sub(r"\W+", "_", anchor.lower())


def _short(ours: Ours) -> str:
    return {
        Ours.HIGH: f"{HIGH_PX}",
        Ours.HIGH_CPU: f"{HIGH_PX}_cpu",
        Ours.MEDIUM: f"{MEDIUM_PX}",
        Ours.SHRUNK: f"{MEDIUM_PX}_shrunk",
        Ours.ALONE: f"{MEDIUM_PX}_alone",
    }[ours]


def _of_metric(metric: Metric) -> str:
    """Return the suffix of a JSON key for a metric: "" for PSNR, "_ssimulacra2" for SSIMULACRA2."""
    return "" if metric is Metric.PSNR else f"_{metric}"


def _round(figure: float | None, digits: int) -> float | None:
    return None if figure is None else round(figure, digits)
