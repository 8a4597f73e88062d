"""The formats of one line a pair, with tabs between the columns: laser, tsv and moses."""

from collections.abc import Callable
from functools import partial

from bitextmine.config import COLUMNS
from bitextmine.write.options import OutputOptions
from bitextmine.write.records import Pair, PairFormat, decimal, one_line

_CELLS: dict[str, Callable[[Pair], str]] = {
    "score": lambda pair: decimal(pair.score),
    "src": lambda pair: one_line(pair.src),
    "tgt": lambda pair: one_line(pair.tgt),
    "src_id": lambda pair: one_line(pair.src_origin.id),
    "tgt_id": lambda pair: one_line(pair.tgt_origin.id),
    "cosine": lambda pair: decimal(pair.cosine),
    "src_file": lambda pair: one_line(pair.src_origin.file),
    "src_line": lambda pair: str(pair.src_origin.line),
    "tgt_file": lambda pair: one_line(pair.tgt_origin.file),
    "tgt_line": lambda pair: str(pair.tgt_origin.line),
}


def laser_format() -> PairFormat:
    """``score<TAB>src<TAB>tgt`` without header or quoting, what LASER's tools read and write."""
    return _table(("score", "src", "tgt"))


def tsv_format(options: OutputOptions) -> PairFormat:
    """Columns of choice under a header line; nothing is quoted, so readers must not unquote."""
    columns = options.tsv_columns
    return PairFormat(partial(_row, columns), header="\t".join(columns) + "\n")


def moses_formats(options: OutputOptions) -> dict[str, PairFormat]:
    """Two line-aligned files of sentences, and their scores and origins, by file name ending."""
    columns = tuple(column for column in COLUMNS if column not in ("src", "tgt"))
    src_ending, tgt_ending = options.moses_endings
    return {
        f".{src_ending}": _table(("src",)),
        f".{tgt_ending}": _table(("tgt",)),
        ".tsv": _table(columns),
    }


def _table(columns: tuple[str, ...]) -> PairFormat:
    """A table without header: line n is pair n."""
    return PairFormat(partial(_row, columns))


def _row(columns: tuple[str, ...], pair: Pair) -> str:
    """One pair as one line."""
    return "\t".join([_CELLS[column](pair) for column in columns]) + "\n"
