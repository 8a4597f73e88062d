"""Well-known checkpoints by short names: where they are, what for, and under which licence.

Quality figures are accuracies of Tatoeba (xx to English, nearest by cosine), averaged over 14, 36
and 112 languages; published, from the raw result files of MTEB
(github.com/embeddings-benchmark/results, commit f4cc6c8).
"""

from dataclasses import dataclass

from bitextmine.config import M_ST5, M_ST5_ADAPTER
from bitextmine.encoders.base import EncoderInfo

# The codes on the model card of intfloat/multilingual-e5-small: those of XLM-R.
_XLM_R = """
    af am ar as az be bg bn br bs ca cs cy da de el en eo es et eu fa fi fr fy ga gd gl gu ha he
    hi hr hu hy id is it ja jv ka kk km kn ko ku ky la lo lt lv mg mk ml mn mr ms my ne nl no om
    or pa pl ps pt ro ru sa sd si sk sl so sq sr su sv sw ta te th tl tr ug uk ur uz vi xh yi zh
"""
# The codes on the model cards of google/mt5-xxl (iw is he, fil is tl) and LaBSE.
_MT5 = """
    af am ar az be bg bn ca ceb co cs cy da de el en eo es et eu fa fi fr fy ga gd gl gu ha haw
    he hi hmn ht hu hy id ig is it ja jv ka kk km kn ko ku ky la lb lo lt lv mg mi mk ml mn mr
    ms mt my ne nl no ny pa pl ps pt ro ru sd si sk sl sm sn so sq sr st su sv sw ta te tg th tl
    tr uk ur uz vi xh yi yo zh zu
"""
_LABSE = """
    af am ar as az be bg bn bo bs ca ceb co cs cy da de el en eo es et eu fa fi fr fy ga gd gl
    gu ha haw he hi hmn hr ht hu hy id ig is it ja jv ka kk km kn ko ku ky la lb lo lt lv mg mi
    mk ml mn mr ms mt my ne nl no ny or pa pl pt ro ru rw si sk sl sm sn so sq sr st su sv sw ta
    te tg th tk tl tr tt ug uk ur uz vi wo xh yi yo zh zu
"""
XLM_R_LANGUAGES = frozenset(_XLM_R.split())
_MT5_LANGUAGES = frozenset(_MT5.split())
_LABSE_LANGUAGES = frozenset(_LABSE.split())
_UNMEASURED = "never measured here"
_MTEB = "Tatoeba-14, -36, -112: {} % (MTEB)"


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A checkpoint that has a name of its own.

    Attributes
    ----------
    info : EncoderInfo
        Its identity card.
    repo : str
        Where it is on the Hugging Face hub.
    prompt : str
        What its model card asks to be put before every sentence, where its files do not say.
    """

    info: EncoderInfo
    repo: str
    prompt: str = ""


def _preset(  # one line a checkpoint below
    name: str,
    repo: str,
    summary: str,
    *,
    dim: int,
    languages: frozenset[str],
    size_mib: int,
    licence: str,
    quality: str,
    prompt: str = "",
) -> Preset:
    info = EncoderInfo(
        name=name,
        summary=summary,
        dim=dim,
        languages=languages,
        package=repo,
        size_mib=size_mib,
        licence=licence,
        threshold=None,
        threshold_source=_UNMEASURED,
        quality=quality,
    )
    return Preset(info=info, repo=repo, prompt=prompt)


PRESETS = {
    preset.info.name: preset
    for preset in (
        _preset(
            M_ST5,
            M_ST5_ADAPTER,
            "Multilingual Sentence-T5: the encoder of mT5-xxl (5.7 B), LoRA on NLI; for GPUs",
            dim=4096,
            languages=_MT5_LANGUAGES,
            size_mib=10_786,
            licence="CC-BY-NC-4.0",
            quality="",
        ),
        _preset(
            "labse",
            "sentence-transformers/LaBSE",
            "LaBSE: BERT trained on translation pairs; 471 M parameters",
            dim=768,
            languages=_LABSE_LANGUAGES,
            size_mib=1_796,
            licence="Apache-2.0",
            quality=_MTEB.format("95.9, 95.2, 83.5"),
        ),
        _preset(
            "multilingual-e5-small",
            "intfloat/multilingual-e5-small",
            "multilingual-e5-small in full precision; 118 M parameters",
            dim=384,
            languages=XLM_R_LANGUAGES,
            size_mib=449,
            licence="MIT",
            quality=_MTEB.format("90.5, 86.9, 73.1"),
            prompt="query: ",
        ),
        _preset(
            "multilingual-e5-base",
            "intfloat/multilingual-e5-base",
            "multilingual-e5-base; 278 M parameters",
            dim=768,
            languages=XLM_R_LANGUAGES,
            size_mib=1_061,
            licence="MIT",
            quality=_MTEB.format("91.9, 88.1, 71.3"),
            prompt="query: ",
        ),
        _preset(
            "multilingual-e5-large",
            "intfloat/multilingual-e5-large",
            "multilingual-e5-large; 560 M parameters",
            dim=1024,
            languages=XLM_R_LANGUAGES,
            size_mib=2_136,
            licence="MIT",
            quality=_MTEB.format("94.0, 92.4, 78.7"),
            prompt="query: ",
        ),
        _preset(
            "bge-m3",
            "BAAI/bge-m3",
            "BGE-M3, its dense vectors; 568 M parameters",
            dim=1024,
            languages=XLM_R_LANGUAGES,
            size_mib=2_167,
            licence="MIT",
            quality=_MTEB.format("94.4, 92.2, 76.7"),
        ),
    )
}
_BY_REPO = {preset.repo.lower(): preset for preset in PRESETS.values()}


def preset_of(model: str) -> Preset | None:
    """Return the preset of a short name or a hub id, if there is one."""
    return PRESETS.get(model.lower()) or _BY_REPO.get(model.lower())


def preset_called(name: str) -> Preset | None:
    """Return the preset whose repository is called so, whoever its owner is: for copied folders."""
    called = (p for p in PRESETS.values() if p.repo.partition("/")[2].lower() == name.lower())
    return preset_of(name) or next(called, None)
