"""Which encoder a run uses and why, and which threshold goes with it."""

import json
import logging
import re
from dataclasses import dataclass, fields
from typing import Any

from bitextmine.config import EncodeConfig, SelectConfig, ShardConfig, settings_of
from bitextmine.encoders.auto import choose_encoder, language_warnings
from bitextmine.encoders.base import EncoderInfo
from bitextmine.encoders.registry import version_warnings
from bitextmine.encoders.sources import EncoderSource, resolve_source
from bitextmine.errors import EncoderError
from bitextmine.files import read_json, write_json
from bitextmine.languages import identify_language, normalise_language
from bitextmine.machine import CPU, visible_gpus
from bitextmine.runcard import RunCard
from bitextmine.shard.sentences import Sentences
from bitextmine.storing import RowFormat, row_format
from bitextmine.workdir import Side, Workdir

LOG = logging.getLogger(__name__)

SAMPLE = 400  # sentences a side whose language is identified
UNCALIBRATED = 1.06  # what stopes' margin module uses when nothing is known
CALIBRATED_K = 4


@dataclass(frozen=True)
class ModelChoice:
    """The encoder of a run, the languages it was chosen for, and what to tell the user.

    Attributes
    ----------
    source : EncoderSource or None
        How to load it; None if an earlier run chose it.
    identity : dict
        What tells its vectors from all others.
    asked : dict
        The settings that it was chosen under.
    """

    info: EncoderInfo
    src_lang: str
    tgt_lang: str
    reason: str
    warnings: tuple[str, ...]
    identity: dict[str, Any]
    asked: dict[str, Any]
    source: EncoderSource | None = None

    def keep(self, workdir: Workdir) -> None:
        """Write the choice down, for stages and runs to come."""
        known = {field.name: getattr(self, field.name) for field in fields(self)}
        del known["source"]
        write_json(workdir.encoder, known | {"info": self.info.to_json()})

    def described(self) -> dict[str, Any]:
        """Return the encoder's part of the run card."""
        return {
            **self.info.to_json(), "identity": self.identity,
            "src_lang": self.src_lang, "tgt_lang": self.tgt_lang, "chosen_because": self.reason,
        }  # fmt: skip

    @staticmethod
    def of(workdir: Workdir) -> "ModelChoice":
        """Return the choice that a work directory was encoded under."""
        known = read_json(workdir.encoder)
        known |= {"info": EncoderInfo.from_json(known["info"])}
        return ModelChoice(**known | {"warnings": tuple(known["warnings"])})


def choose_model(
    workdir: Workdir, sharding: ShardConfig, config: EncodeConfig, source: EncoderSource | None
) -> ModelChoice:
    """Choose the encoder by the languages of both sides, or take the one that was asked for.

    Parameters
    ----------
    workdir : Workdir
        Holds the sentences, and perhaps the choice of an earlier run.
    sharding, config
        What to read, and what was asked for.
    source : EncoderSource or None
        The encoder that was asked for, if it is known already.

    Raises
    ------
    EncoderError
        The encoder is unknown or not here.
    """
    asked = json.loads(json.dumps(settings_of(config, EncodeConfig)))
    if workdir.encoder.exists() and ModelChoice.of(workdir).asked == asked:
        return ModelChoice.of(workdir)
    if source is None and config.model != "auto":
        source = find_source(config, None, needed=True)
    src_lang = normalise_language(config.src_lang) or _identified(workdir, "src", sharding, config)
    tgt_lang = normalise_language(config.tgt_lang) or _identified(workdir, "tgt", sharding, config)
    reason = "asked for"
    if source is None:
        gpu = bool(visible_gpus()) if not config.devices else config.devices[0] != CPU
        choice = choose_encoder(src_lang, tgt_lang, gpu=gpu)
        source = resolve_source(choice.name, config.options(), config.devices)
        reason, warnings = choice.reason, choice.warnings
    else:
        warnings = language_warnings(source.info, src_lang, tgt_lang)
    warnings += _version_warnings(source) + licence_warnings(source.info)
    warnings += dimension_warnings(row_format(config, source.info), source.info)
    identity = vectors_identity(source, config)
    return ModelChoice(source.info, src_lang, tgt_lang, reason, warnings, identity, asked, source)


def vectors_identity(source: EncoderSource, config: EncodeConfig) -> dict[str, Any]:
    """Return what tells the stored vectors of a run from all others.

    Raises
    ------
    UsageError
        ``--dim`` is more than the encoder gives.
    """
    return source.identity() | row_format(config, source.info).identity()


def find_source(
    config: EncodeConfig, chosen: EncoderInfo | None, *, needed: bool
) -> EncoderSource | None:
    """Find the encoder that ``--model`` names, or that an earlier run chose for "auto".

    Parameters
    ----------
    config : EncodeConfig
        What was asked for.
    chosen : EncoderInfo or None
        What "auto" became.
    needed : bool
        Whether there is still something to encode.

    Returns
    -------
    EncoderSource or None
        None if it is not here any more, and not needed.

    Raises
    ------
    EncoderError
        It is needed, and unknown, not here, or cannot run on the devices.
    UsageError
        An option does not suit it.
    """
    model = chosen.name if chosen is not None and config.model == "auto" else config.model
    try:
        source = resolve_source(model, config.options(), config.devices)
    except EncoderError:
        if needed:
            raise
        return None
    row_format(config, source.info)  # refuses a --dim that it cannot give, before any work
    return source


def _version_warnings(source: EncoderSource) -> tuple[str, ...]:
    return version_warnings(source.info.name) if source.description is None else ()


def licence_warnings(info: EncoderInfo) -> tuple[str, ...]:
    """Say once a run if the weights may not be used for every purpose."""
    if "NC" not in re.split(r"[^A-Z]+", info.licence.upper()):
        return ()
    return (f"the weights of {info.name} are licensed {info.licence}: no commercial use",)


def dimension_warnings(form: RowFormat, info: EncoderInfo) -> tuple[str, ...]:
    """Say if scores will be lower than those that the encoder's threshold was measured with."""
    if info.threshold is None or not form.is_fitted:
        return ()
    return (
        f"scores fall with dimensions: the threshold of {info.name} was measured with {info.dim},"
        f" and drops more pairs with {form.dim}; try lower ones with --threshold",
    )


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
