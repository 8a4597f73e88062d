"""The folder of a training while it runs: whether it is ours, free, and of the same settings.

Its snapshots are what a stopped training goes on from. transformers names them ``checkpoint-100``;
here a checkpoint is the folder of a model.
"""

import fcntl
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from safetensors import SafetensorError

from bitextmine.checkpoints.layout import MANIFEST
from bitextmine.errors import OutputError, WorkdirError
from bitextmine.files import explained_write, read_json, write_json

LOG = logging.getLogger(__name__)

CARD = "training.json"
WORK, LOCK, SETTINGS, TEXTS = "work", "lock", "settings.json", "texts"

# The weights of the highest score so far, and in that folder the score.
BEST, BEST_SCORES = "best", "scores.json"

_SNAPSHOT = "checkpoint-"  # The trainer of transformers puts the step behind it.


@contextmanager
def held_folder(out: Path, processes: Any) -> Iterator[None]:
    """Make the folder of a training, and keep others out of it while the block runs.

    When the training is finished, what only its progress needed is removed: after the block, for
    the other processes have read their texts by then.

    Parameters
    ----------
    out : Path
    processes : accelerate.PartialState
        Of several, the main one makes and holds the folder; the others wait for that.

    Raises
    ------
    OutputError
        The folder holds something that is not ours, or cannot be written.
    WorkdirError
        Another training is at work in it.
    """
    with ExitStack() as held:
        with processes.main_process_first():
            _refuse_foreign(out)
            if processes.is_main_process:
                with explained_write(out):
                    (out / WORK).mkdir(parents=True, exist_ok=True)
                held.enter_context(_locked(out))
                held.callback(_remove_work_of_finished, out)
        yield


def _remove_work_of_finished(out: Path) -> None:
    """Leave nothing but the result; a training that is not finished goes on from its work."""
    if (out / MANIFEST).exists():
        shutil.rmtree(out / WORK, ignore_errors=True)


def _refuse_foreign(out: Path) -> None:
    with explained_write(out):
        foreign = out.exists() and not out.is_dir()
        if out.is_dir() and not (out / WORK).exists() and not (out / MANIFEST).exists():
            foreign = any(out.iterdir())
    if foreign:
        raise OutputError(
            f"{out} exists already, and is not a training",
            hint="choose an empty or a new folder with --out",
        )


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Hold the folder's lock, which the system releases however this process ends."""
    with explained_write(out):
        lock = (out / WORK / LOCK).open("a+")
    with lock:
        _take(lock, out)
        with explained_write(out):
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {os.uname().nodename}")
            lock.flush()
        yield


def _take(lock: IO[str], out: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.seek(0)
        raise WorkdirError(
            f"another training is at work in {out}: {lock.read().strip() or 'unknown process'}",
            hint="wait until it has finished, or choose another folder with --out",
        ) from error
    except OSError as error:  # Some file systems of clusters know no locks.
        LOG.warning("%s cannot be locked (%s): run no other training in it", out, error.strerror)


def texts_folder(out: Path, process: int) -> Path:
    """Return an empty folder: every process reads the data, and has its texts to itself."""
    texts = out / WORK / TEXTS / str(process)
    with explained_write(texts):
        shutil.rmtree(texts, ignore_errors=True)
        texts.mkdir(parents=True)
    return texts


def finished_card(
    out: Path, settings: Mapping[str, Any], *, is_main: bool
) -> Mapping[str, Any] | None:
    """Refuse a folder of other settings; returns the card if it is a finished training.

    Without a snapshot there is nothing to go on from: a first attempt may have been refused for
    the very setting that is another one now.

    Raises
    ------
    WorkdirError
        The folder holds a training of other settings; names the first that differs.
    """
    finished = (out / MANIFEST).exists()
    place = out / CARD if finished else out / WORK / SETTINGS
    if finished or snapshots(out / WORK):
        card = _read(place)
        _refuse_difference(out, card["settings"], settings)
        return card if finished else None
    if is_main:
        shutil.rmtree(out / WORK / BEST, ignore_errors=True)  # Its settings may be others.
        write_json(place, {"settings": dict(settings)})
    return None


def _read(place: Path) -> dict[str, Any]:
    try:
        return read_json(place)
    except WorkdirError as error:
        raise WorkdirError(
            str(error), hint="remove that folder, or choose another one with --out"
        ) from error


def _refuse_difference(out: Path, known: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    for name, value in settings.items():
        if known.get(name) != value:
            raise WorkdirError(
                f"{out} holds a training of other settings ({name.replace('_', ' ')}:"
                f" {_format_setting(known.get(name))} there, {_format_setting(value)} now)",
                hint="use the settings of before, or choose another folder with --out",
            )


def _format_setting(value: Any) -> str:
    """Return a value as text that is not too long for a message."""
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def snapshots(work: Path) -> list[Path]:
    """List the whole snapshots of a training, the last one last."""
    found = [path for path in work.glob(f"{_SNAPSHOT}*") if _step(path).isdecimal()]
    return sorted(found, key=lambda path: int(_step(path)))


def _step(snapshot: Path) -> str:
    return snapshot.name.removeprefix(_SNAPSHOT)


def snapshot_name(step: int) -> str:
    """Return the name that the trainer of transformers gives to the snapshot of a step."""
    return f"{_SNAPSHOT}{step}"


def save_weights(model: Any, folder: Path) -> None:
    """Save an adapter as peft does, or a model as transformers does."""
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # It is peft's, an empty form.


class ExplainedSave:
    """Turns what torch and safetensors say of a full disk into an error that says what is left.

    Parameters
    ----------
    path : Path
        What is written.
    left : str
        The snapshot to go on from; "" if there is none.
    """

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
