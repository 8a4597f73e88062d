"""Fixtures that several modules share."""

from collections.abc import Iterator

import pytest
from toy import TOY_INFO, ToyEncoder


@pytest.fixture
def toy() -> Iterator[str]:
    """Register the toy encoder for one test; yields its name."""
    from bitextmine.encoders.registry import register_encoder, unregister_encoder

    register_encoder(TOY_INFO, lambda threads, device: ToyEncoder())
    yield TOY_INFO.name
    unregister_encoder(TOY_INFO.name)
