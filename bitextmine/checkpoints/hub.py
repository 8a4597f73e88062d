"""Checkpoints of the Hugging Face hub: fetched file by file through its own cache."""

import contextlib
import errno
import glob
import sys
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from types import ModuleType
from typing import Any

from bitextmine.checkpoints.layout import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    CONFIG,
    MODEL_WEIGHTS,
    MODULES,
    README,
    free_disk_bytes,
    is_weights,
    module_folders,
    needed_files,
    read_index,
)
from bitextmine.errors import EncoderError


def snapshot(
    repo: str, *, revision: str | None = None, allow: Sequence[str] = (), asked: str = ""
) -> Path:
    """Return a folder with the needed files of a repository, fetching what is not cached.

    ``HF_HOME``, ``HF_HUB_OFFLINE``, ``HF_ENDPOINT`` and ``HF_TOKEN`` are respected. A broken
    connection is taken up again where it broke; a killed process leaves whole files to the
    next. Without a network the cache will do.

    Parameters
    ----------
    repo : str
        Hub id, "owner/name".
    revision : str, optional
        Branch, tag or commit; by default "main".
    allow : sequence of str
        Patterns for the files wanted ("*.json"); by default all that can change vectors.
    asked : str
        What the user calls the model, for the command in messages; by default ``repo``.

    Returns
    -------
    Path
        A folder in the hub's cache, to be read only.

    Raises
    ------
    EncoderError
        No network and nothing cached; no such repository or revision; access needs a token;
        the disk is full.
    """
    hub = _library()
    with _explained(repo, revision, asked or repo), _bars_for_terminals(hub):
        try:
            info = hub.HfApi().model_info(repo, revision=revision, files_metadata=True)
        except _failures(hub):
            cached = cached_snapshot(repo, revision=revision, pooling=not allow)
            if cached is None:
                raise
            return cached
        return _fetch(hub, repo, revision, info, allow)


def _library() -> ModuleType:
    """Import the hub's library when it is first needed, with the modules used here."""
    import huggingface_hub.constants
    import huggingface_hub.errors
    import huggingface_hub.utils

    return huggingface_hub


def _fetch(
    hub: ModuleType, repo: str, revision: str | None, info: Any, allow: Sequence[str]
) -> Path:
    """Fetch the small files first, so that where there are weights there is everything."""
    sizes = {file.rfilename: file.size or 0 for file in info.siblings}
    folders: list[str] = []
    if MODULES in sizes and not allow:
        folders = module_folders(Path(hub.hf_hub_download(repo, MODULES, revision=revision)))
    chosen = [name for name in needed_files(sizes, folders) if _allowed(name, allow)]
    missing = [
        name
        for name in chosen
        if not isinstance(hub.try_to_load_from_cache(repo, name, revision=info.sha), str)
    ]
    _check_space(hub, repo, sum(sizes[name] for name in missing))
    small = [name for name in chosen if not is_weights(name)]
    for names in ([*small, README], [name for name in chosen if is_weights(name)]):
        if names:  # without patterns the hub's library would fetch everything
            patterns = [glob.escape(name) for name in names]
            folder = hub.snapshot_download(repo, revision=revision, allow_patterns=patterns)
    if MODULES not in sizes:
        # Makes the cache note that there is none, for cached_snapshot.
        with contextlib.suppress(hub.errors.EntryNotFoundError):
            hub.hf_hub_download(repo, MODULES, revision=revision)
    return Path(folder)


def _allowed(name: str, allow: Sequence[str]) -> bool:
    return not allow or any(fnmatchcase(name, pattern) for pattern in allow)


def cached_snapshot(repo: str, *, revision: str | None = None, pooling: bool = True) -> Path | None:
    """Return the folder of a repository in the hub's cache, without touching the network.

    Parameters
    ----------
    repo, revision
        See ``snapshot``.
    pooling : bool
        Whether its ``modules.json`` must be there, or be known not to exist: what transformers
        or peft alone have cached may lack it. False for the parts of m-st5.

    Returns
    -------
    Path or None
        None if weights or config are not all there.
    """
    hub = _library()

    def find(name: str) -> Any:
        return hub.try_to_load_from_cache(repo, name, revision=revision)

    try:
        config = next((f for f in map(find, (CONFIG, ADAPTER_CONFIG)) if isinstance(f, str)), None)
        if config is None or (pooling and find(MODULES) is None):
            return None
    except hub.errors.HFValidationError:
        return None
    folder = Path(config).parent
    return folder if _has_weights(folder) else None


def _has_weights(folder: Path) -> bool:
    for name in MODEL_WEIGHTS + ADAPTER_WEIGHTS:
        path = folder / name
        if path.is_file() and name.endswith(".index.json"):
            return all((folder / file).is_file() for file in read_index(path).values())
        if path.is_file():
            return True
    return False


def _check_space(hub: ModuleType, repo: str, needed: int) -> None:
    """Refuse to begin what the disk cannot hold."""
    cache = Path(hub.constants.HF_HUB_CACHE)
    free = free_disk_bytes(cache)
    if needed > free:
        raise EncoderError(
            f"{repo} needs {needed / 2**30:.1f} GiB in the cache {cache},"
            f" which has {free / 2**30:.1f} GiB free",
            hint="free some space there, or set HF_HOME to a folder on another disk",
        )


@contextlib.contextmanager
def _bars_for_terminals(hub: ModuleType) -> Iterator[None]:
    """Keep the library's progress bars out of log files, unless the user has set them."""
    silence = not sys.stderr.isatty() and hub.constants.HF_HUB_DISABLE_PROGRESS_BARS is None
    if not silence or hub.utils.are_progress_bars_disabled():
        yield
        return
    hub.utils.disable_progress_bars()
    try:
        yield
    finally:
        hub.utils.enable_progress_bars()


def _failures(hub: ModuleType) -> tuple[type[BaseException], ...]:
    """Whatever the library raises when a repository cannot be fetched."""
    # Its own HTTP error derives from that of the HTTP library, which has changed over versions.
    http_error = hub.errors.HfHubHTTPError.__mro__[1]
    return (http_error, OSError, RuntimeError, hub.errors.HFValidationError)


@contextlib.contextmanager
def _explained(repo: str, revision: str | None, asked: str) -> Iterator[None]:
    """Turn the library's errors into a cause and a remedy."""
    hub = _library()
    try:
        yield
    except _failures(hub) as error:
        raise _explain(hub, error, repo, revision, asked) from error


def _explain(
    hub: ModuleType, error: BaseException, repo: str, revision: str | None, asked: str
) -> EncoderError:
    elsewhere = (
        f"on a machine with internet run `bitextmine models pull {asked} --out DIR`,"
        " then give `--model DIR` here"
    )
    known = hub.errors
    if isinstance(error, known.GatedRepoError):
        return EncoderError(
            f"{repo} is given only to those who have accepted its conditions",
            hint=f"accept them at {hub.constants.ENDPOINT}/{repo}, then set HF_TOKEN to your token",
        )
    if isinstance(error, known.RevisionNotFoundError):
        return EncoderError(
            f"{repo} has no revision {revision!r}", hint="name a branch, tag or commit of it"
        )
    if isinstance(error, known.RepositoryNotFoundError | known.HFValidationError):
        return EncoderError(
            f"there is no model {repo!r} on {hub.constants.ENDPOINT}, or it is private",
            hint="check the name, give a local folder, or set HF_TOKEN if it is private",
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return EncoderError(
            f"no space left in {hub.constants.HF_HUB_CACHE} for {repo}",
            hint="free some space there, or set HF_HOME to a folder on another disk",
        )
    if isinstance(error, known.OfflineModeIsEnabled):
        return EncoderError(
            f"{repo} is not in the cache, and HF_HUB_OFFLINE forbids fetching it", hint=elsewhere
        )
    status = getattr(getattr(error, "response", None), "status_code", None)
    cause = f"answer {status}" if status else f"{error}".partition("\n")[0] or type(error).__name__
    return EncoderError(
        f"cannot fetch {repo} from {hub.constants.ENDPOINT}: {cause}", hint=elsewhere
    )
