"""The German texts of the report."""

GERMAN = {
    "Log report": "Protokollbericht",
    "{name} is empty.": "{name} ist leer.",
    "{name} is not a text but {kind}.": "{name} ist kein Text, sondern {kind}.",
    "{name} has no byte order mark; {encoding} was assumed.":
        "{name} hat keine Byte-Reihenfolge-Marke; {encoding} wurde angenommen.",
    "{name} has lines that are not UTF-8; {encoding} was assumed.":
        "{name} hat Zeilen, die kein UTF-8 sind; {encoding} wurde angenommen.",
    "{name} has lines that are too long: {count}. Their ends were left out.":
        "{name} hat zu lange Zeilen: {count}. Ihre Enden wurden weggelassen.",
    "{name} is broken or cut off ({why}). Lines before that: {count}.":
        "{name} ist beschädigt oder abgeschnitten ({why}). Zeilen davor: {count}.",
    "{name} is broken or cut off ({why}). Nothing of it could be read.":
        "{name} ist beschädigt oder abgeschnitten ({why}). Nichts davon war lesbar.",
    "Lines of no known form: {count}. They are in no figure; examples stand below.":
        "Zeilen in keiner bekannten Form: {count}. Sie zählen nirgends mit; Beispiele stehen unten.",
    "Some lines have a time without a year, so the latest possible year was used.":
        "Manche Zeilen haben eine Zeit ohne Jahr, daher wurde das späteste mögliche Jahr genommen.",
    "Times that cannot be right, such as {example}: {count}. The timeline leaves them out.":
        "Zeiten, die nicht stimmen können, etwa {example}: {count}. Der Zeitverlauf lässt sie weg.",
    "The number at the end of the access lines was read as microseconds (Apache's %D).":
        "Die Zahl am Ende der Zugriffszeilen wurde als Mikrosekunden gelesen (%D von Apache).",
    "The number at the end of the access lines was read as seconds (Apache's %T).":
        "Die Zahl am Ende der Zugriffszeilen wurde als Sekunden gelesen (%T von Apache).",
    "entries": "Einträge", "errors": "Fehler", "warnings": "Warnungen", "requests": "Anfragen",
    "of them 5xx": "davon 5xx", "sent": "gesendet", "median duration": "Dauer im Median",
    "95 % are faster": "95 % sind schneller",
    "longest request": "längste Anfrage", "no line has a time": "keine Zeile hat eine Zeit",
    "{first} to {last} UTC": "{first} bis {last} UTC",
    "Entries per {period} (UTC)": "Einträge je {period} (UTC)",
    "Entries by level (no line has a time)": "Einträge nach Stufe (keine Zeile hat eine Zeit)",
    "minute": "Minute", "hour": "Stunde", "day": "Tag", "week": "Woche", "year": "Jahr",
    "critical": "kritisch", "error": "Fehler", "warning": "Warnung", "info": "Information", "debug": "Diagnose",
    "Entries over time": "Einträge im Zeitverlauf", "Errors": "Fehler", "Warnings": "Warnungen",
    "Exceptions": "Ausnahmen", "Requests by status": "Anfragen nach Status",
    "Failing requests": "Gescheiterte Anfragen",
    "Pages": "Seiten", "Slowest pages": "Langsamste Seiten", "Bytes by page": "Bytes nach Seite",
    "Clients": "Clients", "User agents": "Browser und Programme", "Programs": "Programme", "Forms": "Formen",
    "Lines of no known form": "Zeilen in keiner bekannten Form",
    "{count} requests, longest {longest}": "{count} Anfragen, längste {longest}",
}  # fmt: skip
