"""What the steps of the GPU benchmark measured, what failed, and a table of it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

_RATES = {"own": "the encoder's own shapes", "square": "8192 x 8192 x 8192"}
_FORWARDS = ("transformers", "ours, uncompiled", "ours, compiled", "pipeline")
LIBRARY = "sentence-transformers"


@dataclass
class Report:
    """What was measured, by step; and what could not be."""

    steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str, device: str) -> Iterator[dict[str, Any]]:
        """Note a step's figures and its peak memory; tell its failure and go on."""
        figures: dict[str, Any] = {}
        on_gpu = device != "cpu"
        start = time.perf_counter()
        if on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
        try:
            yield figures
        except Exception as error:
            lines = str(error).strip().splitlines() or [""]
            self.failed[name] = f"{type(error).__name__}: {lines[0][:300]}"
            print(f"{name}: cannot: {self.failed[name]}", flush=True)
            return
        if on_gpu:
            figures["peak_gib"] = round(torch.cuda.max_memory_allocated(device) / 2**30, 2)
        figures["step_took_s"] = round(time.perf_counter() - start, 1)
        self.steps[name] = figures
        print(f"{name}: {told(figures)}", flush=True)


def conclude(report: Report) -> None:
    """Add what the targets are about: shares of the rates of matrix products, and ratios."""
    rates = report.steps.get("gemm", {})
    library = report.steps.get(LIBRARY, {})
    batches = {name: rate for name, rate in library.items() if isinstance(rate, dict)}
    forwards = [report.steps[name] for name in _FORWARDS if name in report.steps]
    for figures in (*forwards, *batches.values()):
        for rate in _RATES:
            if f"{rate}_tflops" in rates:
                share = figures["tflops"] / rates[f"{rate}_tflops"]
                figures[f"share_of_{rate}_gemm"] = round(share, 4)
        for name, theirs in batches.items():
            ratio = figures["tokens_per_s"] / theirs["tokens_per_s"]
            figures[f"times_library_{name.replace(' ', '_')}"] = round(ratio, 3)


def table(report: Report) -> str:
    """The figures that matter, for people."""
    rates = report.steps.get("gemm", {})
    lines = [
        f"bf16 products at {told}: {rates[f'{rate}_tflops']:.1f} TFLOP/s"
        for rate, told in _RATES.items()
        if f"{rate}_tflops" in rates
    ]
    lines.append(
        f"{'':33} {'sent/s':>9} {'tokens/s':>9} {'TFLOP/s':>8} {'own':>6} {'square':>6}"
        f" {'x lib 32':>8} {'cos min':>9} {'GiB':>6}"
    )
    lines += [_line(name, report.steps[name]) for name in _FORWARDS if name in report.steps]
    for batch, figures in report.steps.get(LIBRARY, {}).items():
        if isinstance(figures, dict):
            lines.append(_line(f"{LIBRARY}, {batch}", figures))
    lines += [f"{name}: cannot: {reason}" for name, reason in report.failed.items()]
    return "\n".join(lines)


def _line(name: str, figures: dict[str, Any]) -> str:
    def shown(key: str, width: int, form: str) -> str:
        return f"{figures[key]:{width}{form}}" if key in figures else " " * width

    cells = [
        shown("sentences_per_s", 9, ",.1f"),
        shown("tokens_per_s", 9, ",.0f"),
        shown("tflops", 8, ".2f"),
        shown("share_of_own_gemm", 6, ".1%"),
        shown("share_of_square_gemm", 6, ".1%"),
        shown("times_library_batch_32", 8, ".2f"),
        shown("cosine_min", 9, ".6f"),
        shown("peak_gib", 6, ".1f"),
    ]
    return f"{name:33} {' '.join(cells)}"


def told(figures: dict[str, Any]) -> str:
    """Figures in one line."""
    return ", ".join(f"{name} {value}" for name, value in figures.items())
