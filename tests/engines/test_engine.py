"""A step shows how far it is, and says what its tasks do."""

from pathlib import Path

import pytest
from device_tasks import do
from watching import watched

from bitextmine.engines.engine import Step


def test_the_bar_of_a_step_is_as_long_as_its_units() -> None:
    units = [5, 10, 15]
    step = Step(name="encode", task=do, arguments=[()] * 3, units=units, label="encode", unit="B")
    with watched() as terminal, step.progress() as advance:
        advance(12)
        advance(18)
    assert terminal.last().startswith("encode ")
    assert " 30.0/30.0 " in terminal.last()


def test_a_step_of_unknown_units_only_counts() -> None:
    step = Step(name="ask", task=do, arguments=[()], label="ask", unit="B")
    with watched() as terminal, step.progress() as advance:
        advance(7)
    assert "7.00B " in terminal.last()
    assert "7.00/" not in terminal.last()


def test_a_step_without_a_label_shows_nothing() -> None:
    step = Step(name="plan", task=do, arguments=[()], units=[3])
    with watched() as terminal, step.progress() as advance:
        advance(3)
    assert terminal.getvalue() == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [((Path("work"), "src", 3, "more"), "src 3"), ((Path("work"), "tgt"), "tgt")],
)
def test_a_task_is_told_by_what_follows_its_work_directory(
    arguments: tuple[object, ...], told: str
) -> None:
    assert Step(name="merge", task=do, arguments=[arguments]).describe(arguments) == told
