"""An architecture of the next model's shape, small enough to train and release within a test."""

from dataclasses import replace

from models.config import RELEASED, Architecture, EncoderConfig, HighHeadConfig, MediumHeadConfig, TranslatorConfig

TINY = Architecture(
    high=replace(
        RELEASED.high,
        latent_channels=160,
        hyper_channels=16,
        energy_groups=8,
        encoder=EncoderConfig(wide=16, wide_blocks=1, deep=24, deep_blocks=1),
        feature_channels=16,
        context_reads=40,
        context_channels=24,
    ),
    medium=replace(
        RELEASED.medium,
        latent_channels=64,
        hyper_channels=16,
        energy_groups=8,
        encoder=EncoderConfig(wide=8, wide_blocks=1, deep=16, deep_blocks=1),
        feature_channels=16,
        context_reads=64,
        context_channels=16,
    ),
    high_gpu=HighHeadConfig(linear="matrix", reads=160, deep=32, deep_blocks=2, wide=24, wide_blocks=1),
    high_cpu=HighHeadConfig(linear="dct", reads=48, deep=16, deep_blocks=1, wide=8, wide_blocks=1),
    medium_head=MediumHeadConfig(width=16, blocks=1),
    medium_cpu=TranslatorConfig(linear="dct", edges=6, width=16, blocks=1),
    medium_gpu=TranslatorConfig(linear="dct", edges=8, width=32, blocks=2),
    light_encoder=EncoderConfig(wide=8, wide_blocks=1, deep=16, deep_blocks=1),
)
