"""How pairs are to be written, checked before anything is mined."""

import re
from dataclasses import dataclass
from typing import get_args

from bitextmine.config import COLUMNS, FieldName, OutputFormat
from bitextmine.errors import UsageError

DEFAULT_COLUMNS: tuple[FieldName, ...] = ("score", "src", "tgt")  # those of LASER
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*")


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputOptions:
    """Every choice about the shape of the output.

    Attributes
    ----------
    format : str
        One of `OutputFormat`.
    columns : tuple of str
        Columns of the format tsv, from `COLUMNS`; none are score, src and tgt.
    src_lang, tgt_lang : str
        Language codes, for the file names of moses and the ``xml:lang`` of tmx; "" is unknown.

    Raises
    ------
    UsageError
        The format, a column or a language code does not exist, or they do not go together.
    """

    format: OutputFormat = "laser"
    columns: tuple[FieldName, ...] = ()
    src_lang: str = ""
    tgt_lang: str = ""

    def __post_init__(self) -> None:
        if self.format not in get_args(OutputFormat):
            raise UsageError(
                f"there is no output format {self.format!r}",
                hint=f"--format takes one of {', '.join(get_args(OutputFormat))}",
            )
        self._check_columns()
        self._check_languages()
        if self.format == "moses":
            self._check_moses_endings()

    @property
    def tsv_columns(self) -> tuple[FieldName, ...]:
        """The columns asked for, or the default ones."""
        return self.columns or DEFAULT_COLUMNS

    @property
    def moses_endings(self) -> tuple[str, str]:
        """What the files of the two sides end in."""
        return self.src_lang or "src", self.tgt_lang or "tgt"

    def _check_columns(self) -> None:
        """Refuse columns that are unknown, repeated or without effect."""
        if self.columns and self.format != "tsv":
            raise UsageError(
                f"--columns has no meaning for --format {self.format}",
                hint="--format tsv has columns of your choice, under a header line",
            )
        for column in self.columns:
            if column not in COLUMNS:
                raise UsageError(
                    f"there is no column {column!r}", hint=f"choose from {', '.join(COLUMNS)}"
                )
            if self.columns.count(column) > 1:
                raise UsageError(
                    f"--columns names {column} twice", hint="name every column once at most"
                )

    def _check_languages(self) -> None:
        """Refuse codes that would break a file name or an XML attribute."""
        for lang in (self.src_lang, self.tgt_lang):
            if lang and not _LANGUAGE.fullmatch(lang):
                raise UsageError(
                    f"{lang!r} is not a language code",
                    hint="give a code such as de, deu, pt-BR or zho_Hans",
                )

    def _check_moses_endings(self) -> None:
        """Refuse languages that would give two files of the format moses one name."""
        endings = (*self.moses_endings, "tsv")
        for ending in endings:
            if endings.count(ending) > 1:
                raise UsageError(
                    f"--format moses would write two files ending in .{ending}",
                    hint="--src-lang and --tgt-lang must differ, from tsv too (the scores' file)",
                )
