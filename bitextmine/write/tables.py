"""The formats of one line a pair, with tabs between the columns: laser, tsv and moses."""

from collections.abc import Iterable

from bitextmine.config import FieldName
from bitextmine.write.options import DEFAULT_COLUMNS, OutputOptions
from bitextmine.write.records import FIELDS, Pair, TextFormat, TextStream


def laser_format() -> TextFormat:
    """``score<TAB>src<TAB>tgt`` without header or quoting, what LASER's tools read and write."""
    return TextFormat({"": _table(DEFAULT_COLUMNS)})


def tsv_format(options: OutputOptions) -> TextFormat:
    """Columns of choice under a header line; nothing is quoted, so readers must not unquote."""
    columns = options.tsv_columns
    return TextFormat({"": _table(columns, header="\t".join(columns) + "\n")})


def moses_format(options: OutputOptions) -> TextFormat:
    """Two line-aligned files of sentences, and their scores and origins, by file name ending."""
    src_ending, tgt_ending = options.moses_endings
    others = [name for name, field in FIELDS.items() if field.about != "texts"]
    return TextFormat(
        {
            f".{src_ending}": _table(["src"]),
            f".{tgt_ending}": _table(["tgt"]),
            ".tsv": _table(others),
        }
    )


def _table(columns: Iterable[FieldName], header: str = "") -> TextStream:
    """A table: line n after the header, if there is one, is pair n."""
    fields = [FIELDS[column] for column in columns]
    cells = [(field.show, field.value) for field in fields]

    def line(pair: Pair) -> str:
        return "\t".join([show(value(pair)) for show, value in cells]) + "\n"

    return TextStream(line, header)
