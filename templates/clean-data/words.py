"""The German texts of the report."""

from german import TABLES

GERMAN = TABLES | {
    "{name}, cleaned": "{name}, bereinigt",
    "{read} rows were read ({how}): {good} are in cleaned.csv, {bad} in rejected.csv.":
        "{read} Zeilen wurden gelesen ({how}): {good} stehen in cleaned.csv, {bad} in rejected.csv.",
    "Other sheets, which were not cleaned: {names}.": "Weitere Blätter, die nicht bereinigt wurden: {names}.",
    "Columns": "Spalten", "Rejected rows": "Abgewiesene Zeilen", "Changed cells": "Geänderte Zellen",
    "taken for": "gelesen als", "reason": "Grund", "change": "Änderung", "cells": "Zellen", "None.": "Keine.",
    "rows read": "gelesene Zeilen", "clean rows": "saubere Zeilen", "rejected rows": "abgewiesene Zeilen",
    "changed cells": "geänderte Zellen",
    "Each rejected row is in rejected.csv, and each changed cell in changes.csv, with its line.":
        "Jede abgewiesene Zeile steht in rejected.csv und jede geänderte Zelle in changes.csv, mit ihrer Zeilennummer.",
    # kinds and reasons
    "e-mail": "E-Mail", "truth": "Wahrheitswert",
    "no e-mail address": "keine E-Mail-Adresse", "no date": "kein Datum", "no number": "keine Zahl",
    "neither true nor false": "weder wahr noch falsch", "missing": "fehlt", "duplicate": "doppelt",
    "of line {line}": "zu Zeile {line}",
    "another number of cells": "andere Zahl von Zellen",
    "than the header: {count}, not {width}": "als die Kopfzeile: {count} statt {width}",
    "total, no data": "Summenzeile, keine Daten", "footer, no data": "Fußzeile, keine Daten",
    "comment, no data": "Kommentar, keine Daten", "header, no data": "wiederholte Kopfzeile, keine Daten",
    # changes
    "white space": "Leerraum", "missing mark": "Zeichen für fehlend",
    "{kind} in one form": "{kind} in einheitlicher Form", "blanked: {why}": "geleert: {why}",
}  # fmt: skip
