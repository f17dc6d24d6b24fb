"""The language of a report: German if the data are German, otherwise English."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime

_GERMAN = """
und oder der das den dem des eine einen nicht kein keine mit für von auf ist sind wurde wird werden zum zur bei
nach aus über auch noch datum betrag menge anzahl summe gesamt umsatz kunde kunden kundennummer rechnung
rechnungsnummer preis einzelpreis stückpreis artikel artikelnummer stück straße strasse hausnummer plz ort stadt
vorname nachname geburtsdatum monat jahr tag woche uhrzeit zeit bezeichnung beschreibung konto kontonummer buchung
buchungstag valuta verwendungszweck währung netto brutto nettobetrag bruttobetrag mwst ust bestellung lager
abteilung mitarbeiter gehalt kosten ausgaben einnahmen notiz bemerkung kommentar ja nein januar februar märz juni
juli oktober dezember montag dienstag mittwoch donnerstag freitag samstag sonntag herr frau firma standort filiale
warengruppe gruppe einheit gewicht größe farbe alter geschlecht bundesland verkauf absatz gewinn fehler
fehlgeschlagen warnung verbindung datei zeile benutzer anmeldung ungültig gestartet beendet
"""
_ENGLISH = """
the and or of to not with for from is are were by date amount quantity count sum total revenue sales customer
customers price product item invoice street city zip country state first last birthday month year day week time
description account booking currency net gross order orders stock department employee salary cost costs expenses
income note notes comment yes january february march may june july october december monday tuesday wednesday
thursday friday saturday sunday company group unit units weight size color colour age gender category failed error
warning connection file line user login invalid started stopped
"""
GERMAN, ENGLISH = frozenset(_GERMAN.split()), frozenset(_ENGLISH.split())

#: Maximum words that are looked at.
WORDS = 20_000


def find_language(names: Iterable[str], texts: Iterable[str]) -> str:
    """Return ``de`` or ``en``. The names of columns count three times as much as the other texts."""
    german, english, seen = 0.0, 0.0, 0
    for weight, source in ((3, names), (1, texts)):
        for text in source:
            for word in re.findall(r"[^\W\d_]+", text[:2000].lower()):
                german += weight * ((word in GERMAN) + 0.5 * bool(re.search("[äöüß]", word)))
                english += weight * (word in ENGLISH)
                seen += 1
            if seen > WORDS:
                break
    return "de" if german > english else "en"


class Language:
    """Texts, numbers and dates of one language. The texts in the code are English, and ``words`` translates them."""

    def __init__(self, code: str, words: Mapping[str, str]) -> None:
        self.code = code
        self._words = words if code == "de" else {}

    def __call__(self, text: str, /, **values: object) -> str:
        """Return a text in this language, with its values. A number gets this language's separators."""
        shown = {name: self.number(value) if isinstance(value, int) else value for name, value in values.items()}
        return self._words.get(text, text).format(**shown)

    def number(self, value: float, form: str = ",") -> str:
        """Format a number, such as 1,234.5 in English and 1.234,5 in German."""
        text = format(value, form)
        return text.translate(str.maketrans(",.", ".,")) if self.code == "de" else text

    def date(self, value: datetime) -> str:
        """Format a day, with its time unless that is midnight."""
        day = f"{value:%d.%m.}{value.year:04}" if self.code == "de" else f"{value.year:04}-{value:%m-%d}"
        if (value.hour, value.minute, value.second) == (0, 0, 0):
            return day
        return f"{day} {value:%H:%M}" if value.second == 0 else f"{day} {value:%H:%M:%S}"
