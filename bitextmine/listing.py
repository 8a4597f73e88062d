"""What ``bitextmine models`` prints."""

from bitextmine.encoders.base import EncoderInfo
from bitextmine.encoders.registry import encoder_infos, readiness


def model_listing() -> str:
    """Describe every encoder in a few lines each."""
    infos = encoder_infos()
    return "\n\n".join(_described(info, infos[:place]) for place, info in enumerate(infos))


def _described(info: EncoderInfo, before: tuple[EncoderInfo, ...]) -> str:
    threshold = "none" if info.threshold is None else f"{info.threshold:g}"
    rows = [
        ("dimension", str(info.dim)),
        ("quality", info.quality or "no published figure at hand"),
        ("languages", f"{len(info.languages)}: {_languages(info, before)}"),
        ("weights", f"{info.package}, {info.size_mib:,} MiB"),
        ("licence", info.licence),
        ("threshold", f"{threshold} ({info.threshold_source})"),
        ("status", readiness(info.name)),
    ]
    lines = [f"{info.name}: {info.summary}"]
    lines += [f"    {label:<10} {_wrapped(value)}" for label, value in rows]
    return "\n".join(lines)


def _languages(info: EncoderInfo, before: tuple[EncoderInfo, ...]) -> str:
    same = next((other.name for other in before if other.languages == info.languages), None)
    return " ".join(sorted(info.languages)) if same is None else f"those of {same}"


def _wrapped(text: str, width: int = 84) -> str:
    from textwrap import wrap

    return ("\n" + " " * 15).join(wrap(text, width) or [""])
