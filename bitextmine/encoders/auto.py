"""Which encoder to take for two languages, and what to say about a choice that knows neither."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bitextmine.config import M_ST5
from bitextmine.encoders.base import EncoderInfo
from bitextmine.encoders.registry import READY, encoder_info, readiness
from bitextmine.errors import EncoderError
from bitextmine.languages import language_name, normalise_language

# Czech, Finnish and Hindi against English on NTREX: sentences whose nearest is not the translation.
_USE_M3_FAILS = "on languages it was not trained on, 37 to 92 % of its nearest neighbours are wrong"


@dataclass(frozen=True)
class Choice:
    """An encoder, why it was taken, and what the user must know about it."""

    name: str
    reason: str
    warnings: tuple[str, ...]


def choose_encoder(
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
