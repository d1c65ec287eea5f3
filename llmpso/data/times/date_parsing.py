"""Dates read by one pattern, with months in several languages and zeros that were lost."""

import re
from typing import Final

import pandas as pd

_LANGUAGES = (
    "jan feb mar apr may jun jul aug sep oct nov dec",
    "january february march april may june july august september october november december",
    "jan feb mär apr mai jun jul aug sep okt nov dez",
    "januar februar märz april mai juni juli august september oktober november dezember",
    "jän feber mrz apr mai juni juli aug sept okt nov dez",
    "janv févr mars avr mai juin juil août sept oct nov déc",
    "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "ene feb mar abr may jun jul ago sept oct nov dic",
    "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "gen feb mar apr mag giu lug ago set ott nov dic",
    "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre"
    " dicembre",
    "jan fev mar abr mai jun jul ago set out nov dez",
    "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    "jan feb mrt apr mei jun jul aug sep okt nov dec",
    "januari februari maart april mei juni juli augustus september oktober november december",
)
_MONTHS: Final = {
    word: number
    for language in _LANGUAGES
    for number, word in enumerate(language.split(), start=1)
}
"""Number of each month's name; no name means two months."""

_MONTH_NAME = re.compile(r"[^\W\d_]{3,}\.?")
_LENGTHS = {"%d": 2, "%m": 2, "%y": 2, "%Y": 4, "%H": 2, "%M": 2, "%S": 2, "%j": 3}


def month_number(word: str) -> int | None:
    """The month that a word names, in any of the languages; None if it names none."""
    return _MONTHS.get(word.strip(" .").lower())


def read_dates(
    texts: "pd.Series[str]", pattern: str, *, utc: bool = False
) -> "pd.Series[pd.Timestamp]":
    """The times of texts by a pattern, NaT where one does not fit.

    Months may be named in several languages. Where nothing separates the digits, zeros in
    front that a spreadsheet took away are put back: 1032024 is the first of March.
    """
    length = _digits(pattern)
    if length:
        texts = texts.str.zfill(length)
    elif re.search("%H%M%SZ?$", pattern):
        # Else 0530 would be three minutes past five, too.
        texts = texts.where(texts.str.contains(r"\d{5,6}Z?$", na=False))
    times = pd.to_datetime(texts, format=pattern, errors="coerce", utc=utc)
    if "%b" not in pattern and "%B" not in pattern:
        return times
    form = "%b" if "%b" in pattern else "%B"
    translated = texts.where(times.notna(), texts.map(lambda text: _translated(text, form)))
    return pd.to_datetime(translated, format=pattern, errors="coerce", utc=utc)


def _digits(pattern: str) -> int:
    """Digits of a pattern that consists of digits only; 0 if it does not."""
    parts = re.findall("%.", pattern)
    if "".join(parts) != pattern or not set(parts) <= set(_LENGTHS):
        return 0
    return sum(_LENGTHS[part] for part in parts)


def _translated(text: object, form: str) -> object:
    """A text with the names of months in English, short (`%b`) or whole (`%B`)."""
    if not isinstance(text, str):
        return text

    def in_english(match: re.Match[str]) -> str:
        number = month_number(match[0])
        if number is None:
            return match[0]
        return str(pd.Timestamp(2000, number, 1).strftime(form))

    return _MONTH_NAME.sub(in_english, text)
