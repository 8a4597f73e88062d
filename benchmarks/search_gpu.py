"""How much of the speed of bare matrix products is left to exact two-way search on a GPU?

For each dimension, vectors of both sides are made on the device and written to disk, as
`bitextmine encode` leaves them. Then, in turn, so that one temperature serves all:

- bare: the float16 products of the same blocks, float32 out, vectors already on the device
- ours, for each k: both sides read from disk, measured and searched in both directions, with
  the lists on the host in the end
- faiss-gpu, if it can be imported: two searches, one a direction, of flat indexes that store
  float32 (which it does by itself) and float16 (which is less work)

and a sample of our neighbours is compared with a search in float64. A step that fails is told,
and the others go on. ``--device cpu --small`` tries the code.
"""

import argparse
import importlib
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from gpu_report import Report
from measuring import circumstances

from bitextmine.arrays import Halfs
from bitextmine.machine import usable_threads
from bitextmine.search.exact.proof import unpack_neighbours
from bitextmine.search.exact.side import SearchSide
from bitextmine.search.gpu.block import multiply
from bitextmine.search.gpu.device_search import search_on_device
from bitextmine.search.gpu.sizes import Sizes, fitting_sizes, free_device_bytes
from bitextmine.search.neighbours import Neighbours

PACKAGES = ("torch", "triton", "numpy", "faiss-gpu", "faiss-gpu-cu12", "faiss-cpu")
TARGETS = {4096: 0.8, 1024: 0.6}  # shares of the rate of bare products
_SIZES = {4096: 400_000, 1024: 600_000, 512: 600_000}  # sentences a side
_SMALL = {4096: 300, 1024: 1500, 512: 1500}
_ON_DEVICE = 1 << 15  # vectors made at a time
_CHECKED = 64  # sentences whose neighbours are searched again
_FAISS_ROWS = 100_000  # a side: at a tenth of our speed, all would take minutes


@dataclass(frozen=True)
class Case:
    """Two sides on disk, and where they are searched."""

    src: Halfs
    tgt: Halfs
    device: str
    threads: int
    repeats: int

    @property
    def d(self) -> int:
        return int(self.src.shape[1])

    @property
    def flop(self) -> float:
        """Of one product of everything with everything."""
        return 2.0 * len(self.src) * len(self.tgt) * self.d

    def seconds(self, compute: Callable[[], object]) -> dict[str, Any]:
        """Median and all seconds, and what they mean in TFLOP/s of one pass."""
        taken = []
        for _ in range(self.repeats):
            start = time.perf_counter()
            compute()
            wait(self.device)
            taken.append(time.perf_counter() - start)
        middle = median(taken)
        return {
            "seconds": round(middle, 4),
            "all_seconds": [round(each, 4) for each in taken],
            "tflops": round(self.flop / middle / 1e12, 4),
            "gpairs_per_s": round(len(self.src) * len(self.tgt) / middle / 1e9, 4),
        }


def wait(device: str) -> None:
    """Wait until the device has done all it was given."""
    if device != "cpu":
        torch.cuda.synchronize(device)


def clustered_vectors(path: Path, n: int, d: int, side: int, device: str) -> Halfs:
    """Unit vectors around topics, pairs of src and tgt the closest of all; on disk."""
    vectors = np.lib.format.open_memmap(path, "w+", np.float16, (n, d))
    shared, own = (torch.Generator(device).manual_seed(seed) for seed in (0, side + 1))

    def draw(rows: int, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(rows, d, device=device, generator=generator)

    topics = draw(max(1, min(n // 50, 20_000)), shared)
    for start in range(0, n, _ON_DEVICE):
        rows = min(_ON_DEVICE, n - start)
        of = torch.randint(len(topics), (rows,), device=device, generator=shared)
        near = topics[of] + 0.7 * draw(rows, shared) + 0.4 * draw(rows, own)
        unit = torch.nn.functional.normalize(near, dim=1).half()
        vectors[start : start + rows] = unit.cpu().numpy()
    written: Halfs = np.load(path, mmap_mode="r")
    return written


def bare_products(case: Case, sizes: Sizes) -> Callable[[], None]:
    """All products of the blocks that a search computes, of one chunk over and over."""
    src = torch.from_numpy(np.array(case.src[: sizes.rows])).to(case.device)
    tgt = torch.from_numpy(np.array(case.tgt[: sizes.columns])).to(case.device)
    room = torch.empty(sizes.rows * sizes.columns, device=case.device)

    def compute() -> None:
        for i in range(0, len(case.src), sizes.rows):
            rows = src[: min(sizes.rows, len(case.src) - i)]
            for j in range(0, len(case.tgt), sizes.columns):
                columns = tgt[: min(sizes.columns, len(case.tgt) - j)]
                shape = len(rows), len(columns)
                multiply(rows, columns, room[: shape[0] * shape[1]].view(shape))

    return compute


def whole_search(case: Case, k: int) -> tuple[Neighbours, Neighbours]:
    """What `two_way_neighbours` does for a GPU, and does not for the CPU."""
    src, tgt = (
        SearchSide.arrange(rows, np.arange(len(rows)), name=name)
        for rows, name in ((case.src, "src"), (case.tgt, "tgt"))
    )
    fwd, bwd = search_on_device(src, tgt, k, case.device, threads=case.threads)
    return unpack_neighbours(fwd, src, tgt), unpack_neighbours(bwd, tgt, src)


def agreement(case: Case, k: int, fwd: Neighbours) -> float:
    """Share of a sample of rows whose neighbours are those of float64, which must be 1."""
    rows = np.linspace(0, len(case.src) - 1, min(_CHECKED, len(case.src))).astype(np.int64)
    own = torch.from_numpy(np.array(case.src[rows])).to(case.device).double()
    cosines = np.empty((len(rows), len(case.tgt)), np.float32)
    for start in range(0, len(case.tgt), _ON_DEVICE):
        some = torch.from_numpy(np.array(case.tgt[start : start + _ON_DEVICE])).to(case.device)
        others = some.double()
        lengths = own.norm(dim=1)[:, None] * others.norm(dim=1)
        cosines[:, start : start + len(others)] = (own @ others.t() / lengths).float().cpu()
    best = -np.partition(-cosines, k - 1, axis=1)[:, :k]
    best.sort(axis=1)
    return float((best[:, ::-1] == fwd.cosines[rows]).all(axis=1).mean())


def faiss_twice(case: Case, k: int, *, half: bool) -> dict[str, Any]:
    """A flat index of each side, stored in float16 or float32, searched by the other.

    Of fewer rows; queries are float32 in any case.
    """
    faiss = importlib.import_module("faiss")
    if not hasattr(faiss, "StandardGpuResources"):
        raise RuntimeError("this faiss has no GPU")
    few = Case(
        case.src[:_FAISS_ROWS], case.tgt[:_FAISS_ROWS], case.device, case.threads, case.repeats
    )
    floats = [np.asarray(rows, np.float32) for rows in (few.src, few.tgt)]
    resources, storage = faiss.StandardGpuResources(), faiss.GpuIndexFlatConfig()
    storage.device = torch.device(case.device).index or 0
    storage.useFloat16 = half

    def search_twice() -> None:
        for queries, base in (floats, floats[::-1]):
            index = faiss.GpuIndexFlatIP(resources, case.d, storage)
            index.add(base)
            index.search(queries, k)

    search_twice()
    return {"rows": len(few.src), "version": faiss.__version__, **few.seconds(search_twice)}


def measure_case(case: Case, ks: list[int], report: Report) -> None:
    """Measure one dimension."""
    device, name = case.device, f"d={case.d}"
    sizes = fitting_sizes(free_device_bytes(torch.device(device)), case.d, max(ks))
    sizes = sizes.fit(len(case.src), len(case.tgt))
    with report.step(f"{name} bare", device) as figures:
        compute = bare_products(case, sizes)
        compute()  # the clock of a cold GPU is no measure
        figures |= {"n": len(case.src), "m": len(case.tgt), **case.seconds(compute)}
        del compute  # its blocks would leave the searches less memory
        figures |= {"block": [sizes.rows, sizes.columns], "resident": sizes.resident}
    for k in ks:
        with report.step(f"{name} k={k} search", device) as figures:
            fwd, _ = whole_search(case, k)  # also compiles the kernels, and fills the page cache
            figures |= case.seconds(partial(whole_search, case, k))
            figures["exact_share_of_sample"] = agreement(case, k, fwd)
            compare(figures, report.steps.get(f"{name} bare"), case.d)
        if find_spec("faiss") and device != "cpu":
            for half, kind in ((False, "float32"), (True, "float16")):
                with report.step(f"{name} k={k} faiss-gpu twice, {kind}", device) as figures:
                    figures |= faiss_twice(case, k, half=half)


def compare(figures: dict[str, Any], bare: dict[str, Any] | None, d: int) -> None:
    """Add the share of the rate of bare products, and whether it is what we want."""
    if bare:
        figures["share_of_bare"] = round(figures["tflops"] / bare["tflops"], 4)
        if d in TARGETS:
            figures["target"] = TARGETS[d]


def table(report: Report) -> str:
    """The figures that matter, for people."""
    lines = [f"{'':42} {'seconds':>9} {'TFLOP/s':>9} {'Gpairs/s':>9} {'of bare':>8} {'GiB':>6}"]
    for name, figures in report.steps.items():
        share = f"{figures['share_of_bare']:8.1%}" if "share_of_bare" in figures else " " * 8
        lines.append(
            f"{name:42} {figures['seconds']:9.3f} {figures['tflops']:9.2f}"
            f" {figures['gpairs_per_s']:9.3f} {share} {figures.get('peak_gib', 0):6.1f}"
        )
    lines += [f"{name}: cannot: {reason}" for name, reason in report.failed.items()]
    lines.append("TFLOP/s count one pass; faiss passes twice over fewer rows, so read Gpairs/s.")
    return "\n".join(lines)


def numbers(text: str) -> list[int]:
    """Parse a list such as 4096,1024."""
    return [int(number) for number in text.split(",")]


def main() -> None:
    """Measure every dimension and k asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--small", action="store_true", help="so few vectors that a CPU can")
    parser.add_argument("--dims", type=numbers, default=[4096, 1024, 512])
    parser.add_argument("--k", type=numbers, default=[4, 16])
    parser.add_argument("--size", type=int, help="sentences a side")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="all cores by default")
    parser.add_argument("--scratch", type=Path, help="folder for the vectors")
    parser.add_argument("--json", type=Path, help="write what was measured here")
    flags = parser.parse_args()
    if flags.device != "cpu" and not torch.cuda.is_available():
        raise SystemExit("torch sees no GPU; --device cpu --small tries the code")
    report, threads = Report(), usable_threads(flags.threads)
    torch.set_num_threads(threads)
    for d in flags.dims:
        n = flags.size or (_SMALL if flags.small else _SIZES).get(d, 100_000)
        with tempfile.TemporaryDirectory(dir=flags.scratch) as scratch:
            src, tgt = (
                clustered_vectors(Path(scratch) / f"{side}.npy", n, d, side, flags.device)
                for side in range(2)
            )
            case = Case(src, tgt, flags.device, threads, flags.repeats)
            measure_case(case, flags.k, report)
        if flags.json:  # as long as it lasts: what comes next may take too long
            write(flags.json, report, flags.device, threads)
    print(table(report))


def write(path: Path, report: Report, device: str, threads: int) -> None:
    """Keep what was measured, where, with what."""
    gpu = torch.cuda.get_device_name(device) if device != "cpu" else "none: the CPU"
    kept = {
        "vectors": "clustered, made on the device",
        "steps": report.steps,
        "failed": report.failed,
        "gpu": gpu,
        **circumstances(threads, PACKAGES),
    }
    path.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
