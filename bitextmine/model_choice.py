"""Which encoder a run uses and why, and which threshold goes with it."""

import logging
from dataclasses import asdict, dataclass
from typing import Any

from bitextmine.config import EncodeConfig, SelectConfig, ShardConfig, settings_of
from bitextmine.encoders.auto import choose_encoder, language_warnings
from bitextmine.encoders.base import EncoderInfo
from bitextmine.encoders.registry import encoder_info, installed_package, version_warnings
from bitextmine.languages import identify_language, normalise_language
from bitextmine.runcard import RunCard
from bitextmine.texts import Sentences
from bitextmine.workdir import Side, Workdir
from bitextmine.writing import read_json, write_json

LOG = logging.getLogger(__name__)

SAMPLE = 400  # sentences a side whose language is identified
UNCALIBRATED = 1.06  # what stopes' margin module uses when nothing is known
CALIBRATED_K = 4


@dataclass(frozen=True)
class ModelChoice:
    """The encoder of a run, the languages it was chosen for, and what to tell the user."""

    info: EncoderInfo
    src_lang: str
    tgt_lang: str
    reason: str
    warnings: tuple[str, ...]
    asked: dict[str, Any]

    def settings(self) -> dict[str, Any]:
        """Return what identifies the vectors of a work directory."""
        return {
            "model": self.info.name,
            "package": installed_package(self.info.name),
            "dim": self.info.dim,
            "dtype": "float16",
        }

    def keep(self, workdir: Workdir) -> None:
        """Write the choice down, for stages and runs to come."""
        chosen = {"model": self.info.name, "src_lang": self.src_lang, "tgt_lang": self.tgt_lang}
        chosen |= {"reason": self.reason}
        write_json(workdir.encoder, chosen | {"asked": self.asked, "warnings": self.warnings})

    def described(self) -> dict[str, Any]:
        """Return the encoder's part of the run card."""
        known = asdict(self.info) | {"languages": sorted(self.info.languages)}
        known |= {"package": installed_package(self.info.name)}
        return known | {
            "src_lang": self.src_lang, "tgt_lang": self.tgt_lang, "chosen_because": self.reason,
        }  # fmt: skip

    @staticmethod
    def of(workdir: Workdir) -> "ModelChoice":
        """Return the choice that a work directory was encoded under."""
        known = read_json(workdir.encoder)
        return ModelChoice(
            encoder_info(known["model"]),
            known["src_lang"],
            known["tgt_lang"],
            known["reason"],
            tuple(known["warnings"]),
            known["asked"],
        )


def choose_model(workdir: Workdir, sharding: ShardConfig, config: EncodeConfig) -> ModelChoice:
    """Choose the encoder by the languages of both sides, or take the one that was asked for.

    Raises
    ------
    EncoderError
        The encoder is unknown or not installed.
    """
    asked = settings_of(config, EncodeConfig)
    if workdir.encoder.exists() and ModelChoice.of(workdir).asked == asked:
        return ModelChoice.of(workdir)
    explicit = encoder_info(config.model) if config.model != "auto" else None
    src_lang = normalise_language(config.src_lang) or _identified(workdir, "src", sharding, config)
    tgt_lang = normalise_language(config.tgt_lang) or _identified(workdir, "tgt", sharding, config)
    if explicit is not None:
        warnings = language_warnings(explicit, src_lang, tgt_lang) + version_warnings(explicit.name)
        return ModelChoice(explicit, src_lang, tgt_lang, "asked for", warnings, asked)
    choice = choose_encoder(src_lang, tgt_lang)
    info = encoder_info(choice.name)
    warnings = choice.warnings + version_warnings(info.name)
    return ModelChoice(info, src_lang, tgt_lang, choice.reason, warnings, asked)


def _identified(workdir: Workdir, side: Side, sharding: ShardConfig, config: EncodeConfig) -> str:
    sample = Sentences(workdir, side, sharding.paths(side)).sample(SAMPLE, config.seed)
    guess = identify_language(sample)
    LOG.info("%s looks like %s (%.0f %% of a sample)", side, guess.code, 100 * guess.share)
    return guess.code


def default_threshold(
    info: EncoderInfo, config: SelectConfig, k: int, card: RunCard
) -> tuple[float, str]:
    """Return the threshold of a run and where it comes from; warn if it means little."""
    if config.threshold is not None:
        return config.threshold, "--threshold"
    if config.margin != "ratio":
        card.show(f"no threshold is known for the {config.margin} margin: all pairs are kept")
        return float("-inf"), "none: all pairs are kept"
    if info.threshold is None:
        card.show(
            f"no threshold was ever measured for {info.name}; {UNCALIBRATED} means little:"
            " look at the pairs and choose one with --threshold",
        )
        return UNCALIBRATED, "a common value in the literature, not measured for this encoder"
    if k != CALIBRATED_K:
        card.show(f"the threshold of {info.name} was measured with -k {CALIBRATED_K}, not {k}")
    return info.threshold, info.threshold_source
