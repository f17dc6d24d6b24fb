"""The German texts of the report."""

from german import TABLES

GERMAN = TABLES | {
    # remarks
    "It has a header and no rows.": "Die Tabelle hat eine Kopfzeile und keine Zeilen.",
    "{name}: dates were read as {order}.": "{name}: Datumsangaben wurden als {order} gelesen.",
    "day/month/year": "Tag/Monat/Jahr",
    "month/day/year": "Monat/Tag/Jahr",
    "{name}: some numbers have a decimal comma, others a decimal point. Each was read by its own sign.":
        "{name}: Manche Zahlen haben ein Dezimalkomma, andere einen Punkt. Jede wurde nach ihrem Zeichen gelesen.",
    "{name}: numbers such as {example!r} can be read in two ways. {sign!r} was taken for the decimal sign.":
        "{name}: Zahlen wie {example!r} lassen sich auf zwei Arten lesen. {sign!r} wurde als Dezimalzeichen genommen.",
    "{name}: cells that are no numbers, such as {example!r}: {count}. They were left out.":
        "{name}: Zellen, die keine Zahlen sind, etwa {example!r}: {count}. Sie wurden weggelassen.",
    "{name}: cells that are no dates, such as {example!r}: {count}. They were left out.":
        "{name}: Zellen, die kein Datum sind, etwa {example!r}: {count}. Sie wurden weggelassen.",
    "{name}: dates in another form than most: {count}. Each was read by its own form.":
        "{name}: Datumsangaben in anderer Form als die meisten: {count}. Jede wurde nach ihrer Form gelesen.",
    "{name}: dates far from all others, such as {example!r}: {count}. They were left out as placeholders.":
        "{name}: Tage fern von allen anderen, etwa {example!r}: {count}. Sie wurden als Platzhalter weggelassen.",
    "Charts and quartiles are made of every {count}th row; all other figures of all rows.":
        "Diagramme und Quartile beruhen auf jeder {count}. Zeile, alle anderen Werte auf allen Zeilen.",
    "It was left out.": "Sie wurde weggelassen.",
    "It is beyond the first {count} tables.": "Sie liegt hinter den ersten {count} Tabellen.",
    # the page
    "{count} tables": "{count} Tabellen",
    "{count} rows": "{count} Zeilen",
    "{count} columns": "{count} Spalten",
    "The report is in report.html, its figures in summary.json and its charts in charts/.":
        "Der Bericht steht in report.html, seine Werte in summary.json und seine Diagramme in charts/.",
    "workbook": "Arbeitsmappe",
    "columns divided by: {sign}": "Trennzeichen: {sign}",
    "missing cells": "fehlende Zellen",
    "on disk": "Dateigröße",
    "bytes": "Bytes",
    "Columns": "Spalten",
    "First rows": "Erste Zeilen",
    "type": "Art", "missing": "fehlend", "distinct": "verschieden", "lowest": "kleinster Wert", "median": "Median",
    "mean": "Mittelwert", "highest": "größter Wert", "sum": "Summe", "most frequent": "am häufigsten",
    # the charts
    "M": "Mio.",
    "hour": "Stunde", "day": "Tag", "week": "Woche", "month": "Monat", "year": "Jahr",
    "Rows per {period}": "Zeilen je {period}",
    "Sum of {name} per {period}": "Summe {name} je {period}",
    "Mean {name} per {period}": "Mittelwert {name} je {period}",
    "Rows by {group}": "Zeilen nach {group}",
    "Sum of {name} by {group}": "Summe {name} nach {group}",
    "Mean {name} by {group}": "Mittelwert {name} nach {group}",
    " (the first 12 of {count})": " (die ersten 12 von {count})",
    "median {value}": "Median {value}",
    "without the outermost 1 % of rows": "ohne die äußersten 1 % der Zeilen",
    "Distribution of {name}": "Verteilung von {name}",
    "% of rows": "% der Zeilen",
    "How far each column is filled": "Füllgrad der Spalten",
    **{
        f", without the {english} {period}, not whole in the data": f", ohne {german}, in den Daten nicht vollständig"
        for period, first, last in [
            ("week", "die erste", "die letzte Woche"),
            ("month", "den ersten", "den letzten Monat"),
            ("year", "das erste", "das letzte Jahr"),
        ]
        for english, german in [
            ("first", f"{first} {last.split()[-1]}"),
            ("last", last),
            ("first and last", f"{first} und {last}"),
        ]
    },
}  # fmt: skip
