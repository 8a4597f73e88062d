"""Inference data that is aligned over languages."""

from pathlib import Path

from bitextmine.training.triplets import Triplets, read_all

LANGUAGES = ("en", "de", "sw")
LABELS = ("neutral", "contradiction", "entailment", "contradiction", "entailment")


def corpus(folder: Path, languages: tuple[str, ...] = LANGUAGES, blocks: int = 4) -> list[str]:
    """Write aligned files: five rows share a premise, two of them follow from it."""
    paths = []
    for language in languages:
        path = folder / f"xnli dev.{language}.tsv"
        rows = [
            f"{label}\t{language} premise {block}.\t{language} hypothesis {block} {number}."
            for block in range(blocks)
            for number, label in enumerate(LABELS)
        ]
        path.write_text("\n".join(rows) + "\n", "utf-8")
        paths.append(str(path))
    return paths


def read(paths: list[str], folder: Path, *, setting: str = "auto", seed: int = 1) -> Triplets:
    """Read files, their texts into a folder of its own."""
    texts = folder / f"texts {setting} {seed}"
    texts.mkdir()
    return read_all(paths, texts, langs=(), setting=setting, seed=seed)
