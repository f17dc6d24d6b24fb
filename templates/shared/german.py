"""German words for the reports on tables."""

TABLES = {
    # remarks of the reader
    "Lines above the header: {count} (line {line}: {text!r}). They are no data and were left out.":
        "Zeilen über der Kopfzeile: {count} (Zeile {line}: {text!r}). Sie sind keine Daten und wurden weggelassen.",
    "Rows of totals: {count} (line {line}: {text!r}). They are no data and were left out.":
        "Summenzeilen: {count} (Zeile {line}: {text!r}). Sie sind keine Daten und wurden weggelassen.",
    "Lines below the data: {count} (line {line}: {text!r}). They are no data and were left out.":
        "Zeilen unter den Daten: {count} (Zeile {line}: {text!r}). Sie sind keine Daten und wurden weggelassen.",
    "Comments that begin with #: {count} (line {line}: {text!r}). They were left out.":
        "Kommentare, die mit # beginnen: {count} (Zeile {line}: {text!r}). Sie wurden weggelassen.",
    "Repeated headers: {count} (line {line}: {text!r}). They were left out.":
        "Wiederholte Kopfzeilen: {count} (Zeile {line}: {text!r}). Sie wurden weggelassen.",
    "Quotation marks that never close: {count} (line {line}). They were read as text.":
        "Anführungszeichen, die nie schließen: {count} (Zeile {line}). Sie wurden als Text gelesen.",
    "Rows with more cells than the header: {count} (line {line}). The further cells were left out.":
        "Zeilen mit mehr Zellen als die Kopfzeile: {count} (Zeile {line}). Die weiteren Zellen wurden weggelassen.",
    "Rows with fewer cells than the header: {count} (line {line}). The others count as missing.":
        "Zeilen mit weniger Zellen als die Kopfzeile: {count} (Zeile {line}). Die übrigen zählen als fehlend.",
    "No delimiter divides its lines, so they were read as one column.":
        "Kein Trennzeichen teilt die Zeilen, daher wurden sie als eine Spalte gelesen.",
    "Its first row looks like data, so the columns were given names.":
        "Die erste Zeile sieht nach Daten aus, daher bekamen die Spalten Namen.",
    "Column names that repeat were numbered: {names}.": "Mehrfache Spaltennamen wurden nummeriert: {names}.",
    "The sheet is hidden in the workbook.": "Das Blatt ist in der Arbeitsmappe ausgeblendet.",
    "It has no byte order mark; it was read as {encoding}.":
        "Die Datei hat keine Byte-Reihenfolge-Marke; sie wurde als {encoding} gelesen.",
    "It is not UTF-8; it was read as {encoding}.": "Die Datei ist kein UTF-8; sie wurde als {encoding} gelesen.",
    "Bytes that are not valid UTF-8 were replaced by a mark: {count}.":
        "Bytes, die kein gültiges UTF-8 sind, wurden durch ein Zeichen ersetzt: {count}.",
    # names
    "comma": "Komma", "semicolon": "Semikolon", "tab": "Tabulator", "bar": "senkrechter Strich",
    "number": "Zahl", "date": "Datum", "text": "Text",
    "row": "Zeile", "rows": "Zeilen", "column": "Spalte", "columns": "Spalten",
}  # fmt: skip
