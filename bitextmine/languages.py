"""Languages: one code for each, whatever the user calls it, and which one a text is in."""

import importlib
import re
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

UNKNOWN = "und"  # ISO 639-3 for "undetermined"

_LOADING = threading.Lock()  # The model is loaded once.

# So many sentences are looked at, spread over the corpus.
_SAMPLE_SENTENCES = 400

# So many are joined and identified together, for one short sentence is often mistaken.
_CHUNK_SENTENCES = 20

# Our code, the name, and every other code in use for it or for a variety that is written alike:
# ISO 639-2 and 639-3, codes of FLORES and NTREX, and withdrawn ones.
_TABLE = """
af Afrikaans afr
am Amharic amh
ar Arabic ara arb
as Assamese asm
az Azerbaijani aze azj
be Belarusian bel
bg Bulgarian bul
bn Bengali ben
bo Tibetan bod tib
br Breton bre
bs Bosnian bos
ca Catalan cat
ceb Cebuano
co Corsican cos
cs Czech ces cze
cy Welsh cym wel
da Danish dan
de German deu ger
el Greek ell gre
en English eng
eo Esperanto epo
es Spanish spa
et Estonian est ekk
eu Basque eus baq
fa Persian fas per pes prs
fi Finnish fin
fr French fra fre
fy Frisian fry
ga Irish gle
gd Gaelic gla
gl Galician glg
gu Gujarati guj
ha Hausa hau
haw Hawaiian
he Hebrew heb iw
hi Hindi hin
hmn Hmong
hr Croatian hrv scr
ht Haitian hat
hu Hungarian hun
hy Armenian hye arm
id Indonesian ind in
ig Igbo ibo
is Icelandic isl ice
it Italian ita
ja Japanese jpn
jv Javanese jav jw
ka Georgian kat geo
kk Kazakh kaz
km Khmer khm
kn Kannada kan
ko Korean kor
ku Kurdish kur kmr
ky Kyrgyz kir
la Latin lat
lb Luxembourgish ltz
lo Lao lao
lt Lithuanian lit
lv Latvian lav lvs
mg Malagasy mlg plt
mi Maori mri mao
mk Macedonian mkd mac
ml Malayalam mal
mn Mongolian mon khk
mr Marathi mar
ms Malay msa may zsm
mt Maltese mlt
my Burmese mya bur
ne Nepali nep npi
nl Dutch nld dut
no Norwegian nor nob nno nb nn
ny Chichewa nya
om Oromo orm gaz
or Odia ori ory
pa Punjabi pan
pl Polish pol
ps Pashto pus pbt
pt Portuguese por
ro Romanian ron rum mo mol
ru Russian rus
rw Kinyarwanda kin
sa Sanskrit san
sd Sindhi snd
si Sinhala sin
sk Slovak slk slo
sl Slovenian slv
sm Samoan smo
sn Shona sna
so Somali som
sq Albanian sqi alb als
sr Serbian srp scc sh hbs
st Sotho sot
su Sundanese sun
sv Swedish swe
sw Swahili swa swh
ta Tamil tam
te Telugu tel
tg Tajik tgk
th Thai tha
tk Turkmen tuk
tl Tagalog tgl fil
tr Turkish tur
tt Tatar tat
ug Uyghur uig
uk Ukrainian ukr
ur Urdu urd
uz Uzbek uzb uzn
vi Vietnamese vie
wo Wolof wol
xh Xhosa xho
yi Yiddish yid ydd ji
yo Yoruba yor
zh Chinese zho chi cmn
zu Zulu zul
"""
_ROWS = [line.split() for line in _TABLE.split("\n") if line]
_NAMES = {code: name for code, name, *_ in _ROWS} | {UNKNOWN: "an unidentified language"}
_CODES = {other: code for code, _, *others in _ROWS for other in others}


@dataclass(frozen=True)
class LanguageGuess:
    """The language of a corpus, as far as a sample shows.

    Attributes
    ----------
    code : str
        As `normalise_language` gives it; "und" if there was no text to look at.
    share : float
        Of the sample's characters, those in sentences that are of this language when each is
        looked at alone: 0.96 or more on news in each of 30 languages. Less means a mixed corpus,
        very short sentences, or a language with sisters (Bosnian, Croatian, Serbian).
    sampled : int
        How many sentences were looked at.
    """

    code: str
    share: float
    sampled: int


def normalise_language(code: str) -> str:
    """Bring a language code or tag to ISO 639-1 where there is one.

    Region and script are dropped (pt-BR, zh_Hant); an unknown code stays, in lower case.
    """
    primary = re.split(r"[-_]", code.strip().lower(), maxsplit=1)[0]
    return _CODES.get(primary, primary)


def language_name(code: str) -> str:
    """Name a language for people: "Czech (cs)", or the code where we know no name."""
    code = normalise_language(code)
    return f"{_NAMES[code]} ({code})" if code in _NAMES else code


def identify_language(sentences: Sequence[str]) -> LanguageGuess:
    """Find the language of a corpus from some sentences spread over it.

    py3langid votes on chunks of joined sentences, one vote a character. Loading its model takes
    most of a second, the first time.
    """
    step = max(1, len(sentences) // _SAMPLE_SENTENCES)
    sample = [sentence for sentence in sentences[::step][:_SAMPLE_SENTENCES] if sentence.strip()]
    if not sample:
        return LanguageGuess(UNKNOWN, 0.0, 0)
    chunks = [
        " ".join(sample[i : i + _CHUNK_SENTENCES]) for i in range(0, len(sample), _CHUNK_SENTENCES)
    ]
    code, _ = _votes(chunks).most_common(1)[0]
    alone = _votes(sample)
    return LanguageGuess(code, alone[code] / alone.total(), len(sample))


def load_ahead() -> None:
    """Start loading the model in the background; unpacking it leaves Python free for other work."""
    threading.Thread(target=_classifier, daemon=True).start()


def _classifier() -> Callable[[str], tuple[object, ...]]:
    """Return py3langid's classifier, its model loaded."""
    with _LOADING:
        langid = importlib.import_module("py3langid")  # It has no type hints.
        langid.classify("")  # This loads the model, the first time.
        return cast(Callable[[str], tuple[object, ...]], langid.classify)


def _votes(texts: Sequence[str]) -> Counter[str]:
    """Characters by language."""
    classify = _classifier()
    votes: Counter[str] = Counter()
    for text in texts:
        votes[normalise_language(str(classify(text)[0]))] += len(text)
    return votes
