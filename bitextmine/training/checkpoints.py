"""Checkpoints of a training: which there are, and what is said when one cannot be written."""

from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from bitextmine.errors import OutputError

BEST, BEST_SCORES = "best", "scores.json"  # the weights of the highest score so far, and it


def checkpoints(work: Path) -> list[Path]:
    """List the whole checkpoints of a training, the last one last."""
    found = [path for path in work.glob("checkpoint-*") if path.name[11:].isdecimal()]
    return sorted(found, key=lambda path: int(path.name[11:]))


def save_weights(model: Any, folder: Path) -> None:
    """Save an adapter as peft does, or a model as transformers does."""
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # peft's, an empty form


class ExplainedSave:
    """Turns what torch and safetensors say of a full disk into an error that tells what is left."""

    def __init__(self, path: Path, left: str) -> None:
        self._path, self._left = path, left

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, OSError | RuntimeError | SafetensorError):
            cause = str(error).strip().partition("\n")[0]
            remedy = "free some space on that disk"
            if self._left:
                remedy += f"; {self._left} is whole, and the same command goes on from it"
            raise OutputError(f"cannot write {self._path}: {cause}", hint=remedy) from error
