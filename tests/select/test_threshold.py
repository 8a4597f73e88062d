"""Where the threshold of a run comes from."""

from toy import TOY_INFO

from bitextmine.config import SelectConfig
from bitextmine.runcard import RunCard
from bitextmine.select.threshold import Threshold, default_threshold


def test_where_a_threshold_comes_from() -> None:
    card = RunCard()
    assert default_threshold(TOY_INFO, SelectConfig(threshold=1.5), 4, card) == Threshold(
        1.5, "--threshold"
    )
    assert default_threshold(TOY_INFO, SelectConfig(), 4, card).value == 1.02
    assert not card.facts["warnings"]
    assert default_threshold(TOY_INFO, SelectConfig(margin="distance"), 4, card).value == -float(
        "inf"
    )
    assert default_threshold(TOY_INFO, SelectConfig(), 16, card).value == 1.02
    assert len(card.facts["warnings"]) == 2
