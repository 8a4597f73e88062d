"""Which encoder exactly: everything that a process needs to load it, and what tells it apart."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

from bitextmine.checkpoints.description import Description, describe
from bitextmine.checkpoints.layout import is_weights, local_files
from bitextmine.checkpoints.manifest import weights_hash
from bitextmine.checkpoints.model_card import read_languages, read_licence
from bitextmine.checkpoints.model_kinds import T5_TYPES
from bitextmine.config import Dtype, EncoderOptions
from bitextmine.encoders.base import Encoder, EncoderInfo
from bitextmine.encoders.locate import Located, is_checkpoint, locate
from bitextmine.encoders.registry import (
    encoder_info,
    installed_package,
    is_registered,
    load_encoder,
    require_ready,
)
from bitextmine.errors import UsageError
from bitextmine.machine import CPU, Hardware, Limits

_NOT_EMBEDDED = {"prompt": "--prompt", "max_length": "--max-length", "pooling": "--pooling"}


@dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """An encoder before it is loaded.

    Attributes
    ----------
    info : EncoderInfo
        Its identity card.
    options : EncoderOptions
        All resolved.
    description : Description or None
        Of a checkpoint; None for an embedded or registered encoder.
    weights : str
        Package and version, or the hash of everything in a checkpoint that can change vectors.
    """

    info: EncoderInfo
    options: EncoderOptions
    description: Description | None
    weights: str

    def runs_on(self, hardware: Hardware) -> Literal["device", "cpu"]:
        """Tell where it runs: an embedded encoder takes a GPU only if the user names one."""
        return "cpu" if self.description is None and not hardware.devices else "device"

    def devices(self, hardware: Hardware) -> tuple[str, ...]:
        """Return the devices that it runs on, one for each task at once."""
        return hardware.usable_devices() if self.runs_on(hardware) == "device" else (CPU,)

    def identity(self) -> dict[str, Any]:
        """Return what tells its vectors from all others; a checkpoint may be moved and renamed."""
        known = {"weights": self.weights, "dim": self.info.dim, "stored": "float16"}
        if self.description is None:
            return {"model": self.info.name} | known
        described = self.description
        return known | {
            "computed": self.options.dtype,
            "prompt": described.prompt,
            "max_length": described.max_length,
            "pooling": "+".join(described.poolings),
        }


def resolve_spec(
    model: str, options: EncoderOptions, hardware: Hardware | None = None
) -> EncoderSpec:
    """Find an encoder and settle every choice about it, without loading it.

    Parameters
    ----------
    model : str
        A name from `bitextmine models`, a folder, or a hub id.
    options : EncoderOptions
        As the user gave them.
    hardware : Hardware, optional
        The devices that it is to run on; by default those of this machine.

    Raises
    ------
    EncoderError
        It is unknown, not here, damaged, or cannot run on the devices.
    UsageError
        An option does not suit it.
    """
    hardware = hardware or Limits()
    if is_registered(model) or not is_checkpoint(model):
        return _embedded(model, options, hardware)
    located = locate(model)
    description = describe(
        located.folder,
        prompt=options.prompt,
        max_length=options.max_length,
        pooling=options.pooling,
        known_prompt=located.preset.prompt if located.preset is not None else "",
        trust_remote_code=options.trust_remote_code,
    )
    is_t5 = description.model_type in T5_TYPES
    return EncoderSpec(
        info=_checkpoint_info(located, description),
        options=replace(options, dtype=resolve_dtype(options.dtype, hardware, is_t5=is_t5)),
        description=description,
        weights=weights_hash(located.folder),
    )


def resolve_dtype(asked: Dtype, hardware: Hardware, *, is_t5: bool) -> Dtype:
    """Return the number format of matrix products.

    Raises
    ------
    EncoderError
        A device was named that is not there.
    UsageError
        float16 for a T5: its activations overflow it.
    """
    if asked == "float16" and is_t5:
        raise UsageError(
            "--dtype float16 with a model of the T5 family, whose activations overflow it",
            hint="use --dtype bfloat16, or float32",
        )
    on_cpu = hardware.usable_devices()[0] == CPU  # asked in any case: one may not be there
    if asked != "auto":
        return asked
    if on_cpu:
        return "float32"
    if hardware.has_bfloat16():
        return "bfloat16"
    return "float32" if is_t5 else "float16"


def _embedded(model: str, options: EncoderOptions, hardware: Hardware) -> EncoderSpec:
    info = encoder_info(model)
    require_ready(model)
    for field, flag in _NOT_EMBEDDED.items():
        if getattr(options, field) is not None:
            raise UsageError(
                f"{flag} is given for {model}, which has no such choice",
                hint=f"leave {flag} out, or choose a checkpoint as --model",
            )
    if options.dtype != "auto":
        raise UsageError(
            f"--dtype is given for {model}, which has its own",
            hint="leave --dtype out, or choose a checkpoint as --model",
        )
    if hardware.devices:
        hardware.usable_devices()  # to refuse one that is not there
    return EncoderSpec(
        info=info,
        options=options,
        description=None,
        weights=installed_package(model),
    )


def _checkpoint_info(located: Located, description: Description) -> EncoderInfo:
    """Describe a checkpoint by what is known of it, else by what its own files say."""
    size = sum(
        (located.folder / name).stat().st_size
        for name in local_files(located.folder)
        if is_weights(name)
    )
    licence = read_licence(located.folder)
    if located.preset is not None:
        known = located.preset.info
        same = licence.lower() in ("", known.licence.lower())
        return replace(
            known,
            dim=description.dim,
            size_mib=size >> 20,
            licence=known.licence if same else licence,
        )
    return EncoderInfo(
        name=located.name,
        summary=f"a checkpoint of type {description.model_type}",
        dim=description.dim,
        languages=read_languages(located.folder),
        package=located.origin,
        size_mib=size >> 20,
        licence=licence or "unknown: see where the model comes from",
        threshold=None,
        threshold_source="never measured here",
    )


def load_spec(spec: EncoderSpec, *, threads: int, device: str) -> Encoder:
    """Load an encoder onto a device.

    Raises
    ------
    EncoderError
        It is damaged, not installed, or does not fit into the device.
    """
    if spec.description is None:
        return load_encoder(spec.info.name, threads=threads, device=device)
    from bitextmine.encoders.transformer.encoder import TransformerEncoder

    return TransformerEncoder(
        spec.info, spec.description, spec.options, device=device, threads=threads
    )


@lru_cache(maxsize=1)
def shared_encoder(spec: EncoderSpec, threads: int, device: str) -> Encoder:
    """Load an encoder once a process, however many shards it encodes."""
    return load_spec(spec, threads=threads, device=device)
