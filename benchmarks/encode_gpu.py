"""An mT5 encoder on a GPU: how much of the speed of plain matrix products reaches the vectors?

Random weights of the real shape are made on the device. In one run, and so at one temperature:

- the rate of bf16 matrix products, at the encoder's own shapes and at 8192 x 8192 x 8192
- transformers' own forward, and sentence-transformers' ``encode``, on these weights
- our forward, as it is and compiled, on the same batches
- our whole pipeline: tokenising, computing, copying back, normalising, writing float16 to disk

A step that fails is told, and the others go on. ``--device cpu --size tiny`` tries the code.
"""

import argparse
import gc
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch
from gpu_model import Shape, description, pad, random_model, run_padded, tokenizer_folder
from gpu_report import LIBRARY, Report, conclude, table
from gpu_steps import (
    Setting,
    compared,
    gemm_rates,
    host,
    in_float32,
    measure_library,
    measure_network,
    measure_pipeline,
    measure_transformers,
    prepare,
    run_network,
    spread,
)
from measuring import circumstances
from sentences import mixed_sentences, read_sentences

from bitextmine.arrays import Floats
from bitextmine.encoders.transformer.encoder import prepare_gpu
from bitextmine.encoders.transformer.flat_t5 import FlatT5
from bitextmine.encoders.transformer.network import Network
from bitextmine.encoders.transformer.tokens import TokenIds, load_tokeniser

_COMPARED = 300  # sentences whose vectors are compared with those of float32
PACKAGES = ("torch", "triton", "numpy", "transformers", "sentence-transformers", "sentencepiece")


def measure_gpu(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure step by step, print each, and return what is to be kept."""
    device: str = arguments.device
    if device != "cpu" and not torch.cuda.is_available():
        raise SystemExit("torch sees no GPU; --device cpu --size tiny tries the code")
    torch.zeros(1, device=device)  # wakes the GPU: torch counts its memory only from then on
    sentences, origin = _sentences(arguments)
    report = Report()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "tokenizer"
        folder.mkdir()
        tokenizer = tokenizer_folder(arguments.tokenizer, sentences, folder)
        setting = _setting(arguments, sentences, folder)
        measure_steps(setting, report)
    conclude(report)
    print(table(report))
    return {
        "size": arguments.size,
        "layers": setting.shape.layers,
        "weights": "random, made on the device in bfloat16 by transformers' initialisation",
        "batch_tokens": setting.budget,
        "sentences": origin,
        "tokenizer": tokenizer,
        "tokens_per_sentence": round(float(setting.tokens.lengths.mean()), 2),
        "steps": report.steps,
        "failed": report.failed,
        "gpu": torch.cuda.get_device_name(device) if device != "cpu" else "none: the CPU",
        **circumstances(arguments.threads, PACKAGES),
    }


def _sentences(arguments: argparse.Namespace) -> tuple[list[str], str]:
    """All sentences, and what they are."""
    if not arguments.sentences:
        return mixed_sentences(arguments.count)
    read = read_sentences(arguments.sentences)
    repeated = read * (arguments.count // len(read) + 1)
    return repeated[: arguments.count], arguments.sentences.name


def _setting(arguments: argparse.Namespace, sentences: list[str], folder: Path) -> Setting:
    shape = Shape.of(arguments.size, arguments.layers)
    told = description(folder, shape.d)
    tokeniser = load_tokeniser(
        folder, model_type="mt5", max_length=told.max_length, threads=arguments.threads
    )
    some = sentences[: arguments.some]
    tokens = tokeniser.encode(some)
    print(
        f"mT5 {arguments.size}, {shape.layers} layers on {arguments.device}:"
        f" {len(sentences):,} sentences, {tokens.lengths.mean():.1f} tokens each",
        flush=True,
    )
    return Setting(
        shape, arguments.device, arguments.batch_tokens, sentences, some, tokens, tokeniser, folder
    )


def measure_steps(setting: Setting, report: Report) -> None:
    """Run all steps: first those that need the model whole, then ours, which takes it apart."""
    device = setting.device
    with report.step("gemm", device) as figures:
        figures |= gemm_rates(setting)
    with report.step("model", device) as figures:
        model = random_model(setting.shape, device, torch.bfloat16)
        figures["weights_gib"] = round(sum(p.nbytes for p in model.parameters()) / 2**30, 2)
    if "model" in report.failed:
        return
    few = setting.tokeniser.encode(setting.some[:_COMPARED])
    reference: Floats | None = None
    with report.step("float32 reference", device) as figures:
        reference = in_float32(model, few, device)
        figures |= spread(reference)
    model.bfloat16()  # where it comes from, so nothing is lost
    with report.step("transformers", device) as figures:
        figures |= measure_transformers(setting, model)
        theirs = host(run_padded(model, pad(few, setting.budget, device)))
        figures |= compared(theirs, reference)
    with report.step(LIBRARY, device) as figures:
        figures |= measure_library(setting, model)
    gc.collect()
    flat = FlatT5(model, device, torch.bfloat16)
    network = Network(flat, description(setting.tokenizer, setting.shape.d), device)
    del model
    measure_ours(setting, network, few, reference, report)


def measure_ours(
    setting: Setting, network: Network, few: TokenIds, reference: Floats | None, report: Report
) -> None:
    """Run our forward in both ways, and the pipeline in the better one."""
    device = setting.device
    batches = prepare(network, few, setting.budget)
    if device != "cpu":
        prepare_gpu(device)  # as TransformerEncoder does
    with report.step("ours, uncompiled", device) as figures:
        figures |= measure_network(setting, network)
        figures |= compared(host(run_network(network, batches)), reference)
    with report.step("compiling", device) as figures:
        figures["seconds"] = round(setting.seconds(partial(network.compile, setting.budget)), 2)
    if "compiling" not in report.failed:
        with report.step("ours, compiled", device) as figures:
            figures |= measure_network(setting, network)
            figures |= compared(host(run_network(network, batches)), reference)
    with report.step("pipeline", device) as figures:
        figures |= measure_pipeline(setting, network)
