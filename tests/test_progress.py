"""Bars are seen only by a person who watches a command, and may go back."""

import io
import sys

import pytest
from watching import watched

from bitextmine.progress import bar, show_bars


def test_a_bar_shows_how_much_of_all_is_done() -> None:
    with watched() as terminal, bar("encode", total=2000, unit="sentences") as shown:
        shown.update(500)
    assert terminal.last().startswith("encode      :  25%")
    assert "500/2.00k" in terminal.last()
    assert " sentences/s" in terminal.last()


def test_a_bar_goes_back_by_what_is_to_be_done_again() -> None:
    with watched() as terminal, bar("encode", total=10, unit="sentences") as shown:
        for units in (4, -4, 4, 6):
            shown.update(units)
    assert "100%" in terminal.last()
    assert " 10.0/10.0 " in terminal.last()


def test_a_library_call_shows_no_bar() -> None:
    with watched(by_command=False) as terminal, bar("encode", total=10, unit="B") as shown:
        shown.update(10)
    assert terminal.getvalue() == ""


def test_a_quiet_command_shows_no_bar() -> None:
    with watched() as terminal:
        show_bars(False)
        with bar("encode", total=10, unit="B") as shown:
            shown.update(10)
    assert terminal.getvalue() == ""


def test_no_bar_goes_where_nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    with watched(), monkeypatch.context() as patch:
        file = io.StringIO()
        patch.setattr(sys, "stderr", file)
        show_bars(True)
        with bar("encode", total=10, unit="B") as shown:
            shown.update(10)
    assert file.getvalue() == ""
