"""The stage as the engine sees it."""

from pathlib import Path

import pytest
from here import run_over

from bitextmine.config import ShardConfig
from bitextmine.engines.devices import DevicesEngine
from bitextmine.engines.engine import Step
from bitextmine.shard.split import input_bytes
from bitextmine.shard.stage import shard


@pytest.mark.parametrize("stdin", [False, True])
def test_bytes_to_read_are_told_unless_stdin_is_among_the_inputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stdin: bool
) -> None:
    text = tmp_path / "text"
    text.write_text("one\ntwo\n", "utf-8")
    src = (str(text), "-") if stdin else (str(text), str(text))
    told: list[tuple[int, ...]] = []

    class Stopped(BaseException):
        """Ends the stage after its first step."""

    def note(self: DevicesEngine, step: Step) -> None:
        told.append(tuple(step.units))
        raise Stopped

    monkeypatch.setattr(DevicesEngine, "run", note)
    config = ShardConfig(src=src, tgt=(str(text),))
    with pytest.raises(Stopped), run_over(tmp_path / "work", config, make=True) as run:
        shard(run, config)
    assert told == [() if stdin else (input_bytes(str(text)),) * 2]
