import pickle

import pytest

from bitextmine.errors import BitextmineError, EncoderError, UsageError, WorkdirError


@pytest.mark.parametrize("kind", [BitextmineError, EncoderError, UsageError, WorkdirError])
def test_an_error_keeps_its_class_its_problem_and_its_hint_when_pickled(
    kind: type[BitextmineError],
) -> None:
    error = kind("»naïve« is no device", hint="try 'cpu'")
    error.add_note("seen on Monday")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert (str(copy), copy.hint) == ("»naïve« is no device", "try 'cpu'")
    assert copy.__notes__ == ["seen on Monday"]
