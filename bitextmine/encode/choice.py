"""Which encoder a run uses and why, and what to say about a choice that knows neither language."""

import json
import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

from bitextmine.config import M_ST5, EncodeConfig, settings_of
from bitextmine.encode.row_format import RowFormat, row_format
from bitextmine.encode.vectors import all_encoded
from bitextmine.encoders.base import EncoderInfo
from bitextmine.encoders.registry import READY, encoder_info, readiness, version_warnings
from bitextmine.encoders.spec import EncoderSpec, resolve_spec
from bitextmine.errors import EncoderError
from bitextmine.files import read_json, write_json
from bitextmine.languages import identify_language, language_name, normalise_language
from bitextmine.machine import CPU, Hardware
from bitextmine.runcard import Run
from bitextmine.shard.sentences import Sentences
from bitextmine.workdir import Side, Sides, Workdir

LOG = logging.getLogger(__name__)

# Czech, Finnish and Hindi against English on NTREX: sentences whose nearest is not the translation.
_USE_M3_FAILS = "on languages it was not trained on, 37 to 92 % of its nearest neighbours are wrong"


@dataclass(frozen=True)
class Choice:
    """An encoder, why it was taken, and what the user must know about it."""

    name: str
    reason: str
    warnings: tuple[str, ...]


def best_encoder(
    src_lang: str,
    tgt_lang: str,
    *,
    gpu: bool = False,
    readiness: Callable[[str], str] = readiness,
) -> Choice:
    """Take m-st5 where there is a GPU and it has been pulled; else use-m3, or e5-small.

    use-m3 is the fastest on a CPU, and taken where it knows both languages.

    Parameters
    ----------
    src_lang, tgt_lang : str
        Codes of the languages, in any notation.
    gpu : bool
        Whether there is one to run on.
    readiness : callable
        Says whether an encoder is installed; see `bitextmine.encoders.registry.readiness`.

    Raises
    ------
    EncoderError
        If the encoder to take is not installed.
    """
    languages = sorted({normalise_language(src_lang), normalise_language(tgt_lang)})
    names = ", ".join(language_name(code) for code in languages)
    fast, broad = encoder_info("use-m3"), encoder_info("e5-small")
    if gpu and readiness(M_ST5) == READY:
        large = encoder_info(M_ST5)
        warnings = _unknown_warnings(large, languages, instead="")
        return Choice(large.name, f"there is a GPU, and {large.name} is here", warnings)
    if fast.languages.issuperset(languages):
        _require_ready(fast, f"{fast.name} suits {names}", "pass another --model", readiness)
        return Choice(fast.name, f"{fast.name} knows {names} and is the fastest", ())

    unknown = _joined(code for code in languages if code not in fast.languages)
    _require_ready(
        broad,
        f"{fast.name} does not know {unknown}, and {broad.name} is not installed",
        f"pass --model {fast.name} ({_USE_M3_FAILS})",
        readiness,
    )
    return Choice(
        broad.name,
        f"{fast.name} does not know {unknown}; {broad.name} has {len(broad.languages)} languages",
        _unknown_warnings(broad, languages, instead=""),
    )


def language_warnings(info: EncoderInfo, src_lang: str, tgt_lang: str) -> tuple[str, ...]:
    """Say loudly what an encoder that the user asked for does not know.

    Returns
    -------
    tuple of str
        One line a language; none if it knows both or its languages are unknown.
    """
    languages = sorted({normalise_language(src_lang), normalise_language(tgt_lang)})
    broad = encoder_info("e5-small")
    helps = info.name != broad.name and broad.languages.issuperset(languages)
    return _unknown_warnings(
        info, languages, instead=f"; use --model {broad.name}" if helps else ""
    )


def _unknown_warnings(
    info: EncoderInfo, languages: Iterable[str], *, instead: str
) -> tuple[str, ...]:
    if not info.languages:
        return ()
    return tuple(
        f"{info.name} was not trained on {language_name(code)}: "
        f"expect most pairs to be wrong{instead}"
        for code in languages
        if code not in info.languages
    )


def _require_ready(
    info: EncoderInfo, problem: str, otherwise: str, readiness: Callable[[str], str]
) -> None:
    state = readiness(info.name)
    if not state.startswith(READY):
        install = state.partition(": ")[2] or state
        raise EncoderError(problem, hint=f"{install}, or {otherwise}")


def _joined(codes: Iterable[str]) -> str:
    return ", ".join(language_name(code) for code in codes)


SAMPLE = 400  # sentences a side whose language is identified


@dataclass(frozen=True)
class ModelChoice:
    """The encoder of a run, the languages it was chosen for, and what to tell the user.

    Attributes
    ----------
    spec : EncoderSpec or None
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
    spec: EncoderSpec | None = None

    def keep(self, workdir: Workdir) -> None:
        """Write the choice down, for stages and runs to come."""
        known = {field.name: getattr(self, field.name) for field in fields(self)}
        del known["spec"]
        write_json(workdir.encoder, known | {"info": self.info.to_json()})

    @property
    def loadable(self) -> EncoderSpec:
        """The encoder, where there is something left to encode."""
        assert self.spec is not None, "an encoder that is needed was found, or refused"
        return self.spec

    @property
    def dim(self) -> int:
        """Numbers of a stored vector."""
        return int(self.asked["dim"] or self.info.dim)

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


def choose_encoder(
    run: Run, config: EncodeConfig, sentences: Sides[Sentences], spec: EncoderSpec | None
) -> ModelChoice:
    """Choose the encoder by the languages of both sides, or take the one that was asked for.

    Nothing is bound to the choice before `encode`.

    Parameters
    ----------
    run : Run
        Sharded; perhaps holds the choice of an earlier run.
    config : EncodeConfig
        What was asked for.
    sentences : Sides of Sentences
        A sample of them tells the languages.
    spec : EncoderSpec or None
        The encoder that was asked for, if it is known already.

    Raises
    ------
    EncoderError
        The encoder is unknown or not here.
    """
    asked = json.loads(json.dumps(settings_of(config, EncodeConfig)))
    if run.workdir.encoder.exists() and ModelChoice.of(run.workdir).asked == asked:
        return _chosen_before(run, config, spec)
    if spec is None and config.model != "auto":
        spec = find_encoder(config, None, run.engine, needed=True)
    src_lang = normalise_language(config.src_lang) or _identified("src", sentences, config)
    tgt_lang = normalise_language(config.tgt_lang) or _identified("tgt", sentences, config)
    reason = "asked for"
    if spec is None:
        gpu = run.engine.usable_devices()[0] != CPU
        choice = best_encoder(src_lang, tgt_lang, gpu=gpu)
        spec = resolve_spec(choice.name, config.options(), run.engine)
        reason, warnings = choice.reason, choice.warnings
    else:
        warnings = language_warnings(spec.info, src_lang, tgt_lang)
    warnings += _version_warnings(spec) + licence_warnings(spec.info)
    warnings += dimension_warnings(row_format(config, spec.info), spec.info)
    identity = vectors_identity(spec, config)
    return ModelChoice(spec.info, src_lang, tgt_lang, reason, warnings, identity, asked, spec)


def _chosen_before(run: Run, config: EncodeConfig, spec: EncoderSpec | None) -> ModelChoice:
    """Return the choice of an earlier run, with the encoder as it is now: it may have changed."""
    choice = ModelChoice.of(run.workdir)
    if spec is None:
        spec = find_encoder(config, choice.info, run.engine, needed=not all_encoded(run.workdir))
    if spec is None:
        return choice
    return replace(choice, identity=vectors_identity(spec, config), spec=spec)


def vectors_identity(spec: EncoderSpec, config: EncodeConfig) -> dict[str, Any]:
    """Return what tells the stored vectors of a run from all others.

    Raises
    ------
    UsageError
        ``--dim`` is more than the encoder gives.
    """
    return spec.identity() | row_format(config, spec.info).identity()


def find_encoder(
    config: EncodeConfig, chosen: EncoderInfo | None, hardware: Hardware, *, needed: bool
) -> EncoderSpec | None:
    """Find the encoder that ``--model`` names, or that an earlier run chose for "auto".

    Parameters
    ----------
    config : EncodeConfig
        What was asked for.
    chosen : EncoderInfo or None
        What "auto" became.
    hardware : Hardware
        The devices that it is to run on.
    needed : bool
        Whether there is still something to encode.

    Returns
    -------
    EncoderSpec or None
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
        spec = resolve_spec(model, config.options(), hardware)
    except EncoderError:
        if needed:
            raise
        return None
    row_format(config, spec.info)  # refuses a --dim that it cannot give, before any work
    return spec


def _version_warnings(spec: EncoderSpec) -> tuple[str, ...]:
    return version_warnings(spec.info.name) if spec.description is None else ()


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


def _identified(side: Side, sentences: Sides[Sentences], config: EncodeConfig) -> str:
    sample = sentences.of(side).sample(SAMPLE, config.seed)
    guess = identify_language(sample)
    LOG.info("%s looks like %s (%.0f %% of a sample)", side, guess.code, 100 * guess.share)
    return guess.code
