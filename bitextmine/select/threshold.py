"""Where the threshold of a run comes from."""

from bitextmine.config import SelectConfig
from bitextmine.encoders.base import EncoderInfo
from bitextmine.runcard import RunCard

UNCALIBRATED = 1.06  # what stopes' margin module uses when nothing is known

CALIBRATED_K = 4


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
