"""Fixtures that several modules share."""

import os
from collections.abc import Generator, Iterator

import pytest
from toy import TOY_INFO, ToyEncoder


@pytest.fixture
def toy() -> Iterator[str]:
    """Register the toy encoder for one test; yields its name."""
    from bitextmine.encoders.registry import register_encoder, unregister_encoder

    register_encoder(TOY_INFO, lambda threads, device: ToyEncoder())
    yield TOY_INFO.name
    unregister_encoder(TOY_INFO.name)


@pytest.fixture(autouse=True)
def no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for the disk: no test cuts the power, and hundreds of small files add up."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape what is not UTF-8 in captured logs, such as file names: workers cannot send it."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report
