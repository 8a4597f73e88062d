"""Where the threshold of a run comes from."""

from dataclasses import dataclass
from math import isfinite
from typing import Any

from bitextmine.config import SelectConfig
from bitextmine.encoders.base import EncoderInfo
from bitextmine.runcard import RunCard

UNCALIBRATED = 1.06  # what stopes' margin module uses when nothing is known

CALIBRATED_K = 4


@dataclass(frozen=True)
class Threshold:
    """The least score of a pair.

    Attributes
    ----------
    value : float
        Pairs that score less are dropped; -inf keeps all.
    origin : str
        Where it comes from, in words.
    """

    value: float
    origin: str

    def as_fact(self) -> dict[str, Any]:
        """Return the run card's part; JSON has no infinity."""
        return {"value": self.value if isfinite(self.value) else None, "source": self.origin}


def default_threshold(info: EncoderInfo, config: SelectConfig, k: int, card: RunCard) -> Threshold:
    """Return the threshold of a run and where it comes from; warn if it means little."""
    if config.threshold is not None:
        return Threshold(config.threshold, "--threshold")
    if config.margin != "ratio":
        card.show(f"no threshold is known for the {config.margin} margin: all pairs are kept")
        return Threshold(float("-inf"), "none: all pairs are kept")
    if info.threshold is None:
        card.show(
            f"no threshold was ever measured for {info.name}; {UNCALIBRATED} means little:"
            " look at the pairs and choose one with --threshold",
        )
        return Threshold(
            UNCALIBRATED, "a common value in the literature, not measured for this encoder"
        )
    if k != CALIBRATED_K:
        card.show(f"the threshold of {info.name} was measured with -k {CALIBRATED_K}, not {k}")
    return Threshold(info.threshold, info.threshold_source)
