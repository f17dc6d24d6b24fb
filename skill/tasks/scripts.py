"""Bash scripts, and JavaScript run by Node.js."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

from skill.looking import need, run, same, text, well
from skill.task import Task
from skill.tasks.programs import program


def judge_backup(here: Path, given: Path) -> None:
    text(here, "backup.sh")
    (here / "my data 7" / "sub").mkdir(parents=True)
    (here / "my data 7" / "a.txt").write_text("a")
    (here / "my data 7" / "sub" / "b.txt").write_text("b")
    well(here, ["bash", "backup.sh", "my data 7", "kept 7.tar.gz"])
    need((here / "kept 7.tar.gz").is_file(), "backup.sh made no archive")
    with tarfile.open(here / "kept 7.tar.gz") as archive:
        names = {member.name.removeprefix("./") for member in archive if member.isfile()}
    need(any(name.endswith("a.txt") for name in names) and any(name.endswith("sub/b.txt") for name in names),
         f"the archive has only {sorted(names)}")  # fmt: skip
    same(len(names), 2, "the number of files in the archive")
    need(
        run(here, ["bash", "backup.sh", "nothing", "x.tar.gz"]).returncode != 0,
        "a folder that is not there gives exit code 0",
    )
    need(not (here / "x.tar.gz").exists(), "a folder that is not there leaves an archive behind")
    need(run(here, ["bash", "backup.sh"]).returncode != 0, "no arguments give exit code 0")


def judge_rename(here: Path, given: Path) -> None:
    text(here, "rename.sh")
    folder = here / "photos of may"
    folder.mkdir()
    for name in ("my cat.jpg", "a  dog.JPG", "plain.png", "x y", "x_y"):
        (folder / name).write_text(name)
    well(here, ["bash", "rename.sh", "photos of may"])
    found = {path.name: path.read_text() for path in folder.iterdir()}
    need(found.get("my_cat.jpg") == "my cat.jpg", f"my cat.jpg was not renamed: {sorted(found)}")
    need(found.get("a__dog.JPG") == "a  dog.JPG", f"a name with two blanks was not renamed: {sorted(found)}")
    need(found.get("plain.png") == "plain.png", "a name without blanks was changed")
    need(found.get("x_y") == "x_y" and found.get("x y") == "x y", "an existing file was overwritten")


def judge_extensions(here: Path, given: Path) -> None:
    text(here, "extensions.sh")
    folder = here / "stuff below"
    (folder / "deep er").mkdir(parents=True)
    for name in ("a.txt", "b.txt", "deep er/c.txt", "d.py", "deep er/e.tar.gz", "README", "f.py"):
        (folder / name).write_text("x")
    lines = [line.split() for line in well(here, ["bash", "extensions.sh", "stuff below"]).splitlines() if line.strip()]
    same(lines, [["txt", "3"], ["py", "2"], ["gz", "1"], ["none", "1"]], "extensions.sh prints")


def judge_csv_cli(here: Path, given: Path) -> None:
    text(here, "tojson.js")
    (here / "in put.csv").write_text('id,name,note\n1,Ann,"a, b"\n2,"Bo ""B""",\n')
    printed = well(here, ["node", "tojson.js", "in put.csv"])
    try:
        found = json.loads(printed)
    except ValueError:
        found = printed
    same(
        found,
        [{"id": "1", "name": "Ann", "note": "a, b"}, {"id": "2", "name": 'Bo "B"', "note": ""}],
        "tojson.js prints",
    )


TASKS = [
    Task(
        "backup-script",
        "Write a Bash script backup.sh that is called as `bash backup.sh FOLDER ARCHIVE` and packs the folder with all that "
        "is in it into a tar.gz archive of that name. Names may have blanks. Where the folder is not there or an argument is "
        "missing, it prints an error, makes no archive and ends with exit code 1.",
        judge_backup,
        alone="backup.sh",
        reference={
            "backup.sh": 'if [ $# -ne 2 ] || [ ! -d "$1" ]; then echo "usage" >&2; exit 1; fi\ntar -czf "$2" "$1"\n',
        },
        wrong=({"backup.sh": "tar -czf $2 $1\n"}, {"backup.sh": 'tar -czf "$2" "$1"\n'}),
    ),
    Task(
        "rename-script",
        "Write a Bash script rename.sh that is called with a folder and replaces each blank in the names of its files by an "
        "underscore. It must not overwrite a file that is already there: such a file keeps its name.",
        judge_rename,
        alone="rename.sh",
        reference={
            "rename.sh": 'for f in "$1"/*" "*; do\n  n="$(basename "$f")"\n  t="$1/${n// /_}"\n'
            '  [ -e "$t" ] || mv -- "$f" "$t"\ndone\n',
        },
        wrong=({"rename.sh": 'cd "$1"\nfor f in *; do mv "$f" "${f// /_}" 2>/dev/null || true; done\n'},),
    ),
    Task(
        "extensions-script",
        "Write a Bash script extensions.sh that is called with a folder and counts the files in it and in all folders below by "
        "extension, the part after the last dot. Print one line for each, such as `txt 12`, the most frequent first and "
        "alphabetically among equals; files without a dot count as `none`.",
        judge_extensions,
        alone="extensions.sh",
        reference={
            "extensions.sh": "find \"$1\" -type f -printf '%f\\n' | sed -E '/\\./!s/.*/none/; s/.*\\.//' | sort | uniq -c |"
            " sort -k1,1nr -k2 | awk '{print $2, $1}'\n",
        },
        wrong=({"extensions.sh": "ls $1 | sed 's/.*\\.//' | sort | uniq -c\n"},),
    ),
    Task(
        "csv-json-node",
        "Write a Node.js program tojson.js, without any package, that reads the CSV file named on the command line and prints "
        "it as a JSON array of objects with the first line as keys. All values are strings. Quoted values may have commas in "
        'them, and "" inside quotes is one quote.',
        judge_csv_cli,
        alone="tojson.js",
        reference={
            "tojson.js": r"""const text = require('fs').readFileSync(process.argv[2], 'utf8').trim();
const parse = line => {
  const cells = []; let cell = '', quoted = false;
  for (let i = 0; i < line.length; i++) {
    const c = line[i];
    if (quoted) {
      if (c === '"' && line[i + 1] === '"') { cell += '"'; i++; }
      else if (c === '"') quoted = false;
      else cell += c;
    } else if (c === '"') quoted = true;
    else if (c === ',') { cells.push(cell); cell = ''; }
    else cell += c;
  }
  return [...cells, cell];
};
const [keys, ...rows] = text.split('\n').map(parse);
console.log(JSON.stringify(rows.map(row => Object.fromEntries(keys.map((k, i) => [k, row[i]])))));
""",
        },
        wrong=(
            {
                "tojson.js": "const l = require('fs').readFileSync(process.argv[2], 'utf8').trim().split('\\n')"
                ".map(x => x.split(','));\nconsole.log(JSON.stringify(l.slice(1).map(r => Object.fromEntries("
                "l[0].map((k, i) => [k, r[i]])))));\n",
            },
        ),
    ),
    program(
        "cart-node",
        "cart.js",
        "Write a JavaScript module cart.js for Node.js that exports a function total(items, coupon) (module.exports = { total "
        "}). Each item has price, in cents, and quantity. The coupon is undefined, or {percent: 10}, or {off: 500} in cents; "
        "the total is rounded to whole cents and never below 0. Throw an Error where a price or a quantity is negative.",
        """
check("it.total([{price: 250, quantity: 4}, {price: 99, quantity: 1}])", 1099);
check("it.total([])", 0);
check("it.total([{price: 999, quantity: 1}], {percent: 15})", 849);
check("it.total([{price: 400, quantity: 1}], {off: 900})", 0);
check("it.total([{price: 400, quantity: 2}], {off: 50})", 750);
check("it.total([{price: 400, quantity: 0}])", 0);
throws("it.total([{price: -1, quantity: 1}])");
throws("it.total([{price: 1, quantity: -2}])");
""",
        """const total = (items, coupon = {}) => {
  let sum = 0;
  for (const { price, quantity } of items) {
    if (price < 0 || quantity < 0) throw new Error('negative');
    sum += price * quantity;
  }
  return Math.max(0, Math.round(sum * (1 - (coupon.percent || 0) / 100)) - (coupon.off || 0));
};
module.exports = { total };
""",
        """module.exports = { total: (items, coupon) =>
  items.reduce((s, i) => s + i.price * i.quantity, 0) - (coupon ? coupon.off : 0) };
""",
    ),
    program(
        "group-node",
        "group.js",
        "Write group.js for Node.js and export a function summarise(orders) (module.exports = { summarise }). orders is an "
        "array of {customer, amount, date} with dates such as '2026-03-09'. Return an array with one object for each "
        "customer: {customer, orders, total, last}, where last is the latest date, sorted by total with the highest first "
        "and by customer among equals. The input must not be changed.",
        """
const given = [
  {customer: 'Bo', amount: 5, date: '2026-01-09'}, {customer: 'Al', amount: 7, date: '2026-02-01'},
  {customer: 'Bo', amount: 3, date: '2025-12-30'}, {customer: 'Cy', amount: 8, date: '2026-01-01'},
];
const copy = JSON.stringify(given);
check("it.summarise(given)", [
  {customer: 'Bo', orders: 2, total: 8, last: '2026-01-09'}, {customer: 'Cy', orders: 1, total: 8, last: '2026-01-01'},
  {customer: 'Al', orders: 1, total: 7, last: '2026-02-01'}]);
check("it.summarise([])", []);
check("JSON.stringify(given) === copy", true);
""",
        """module.exports = { summarise(orders) {
  const found = new Map();
  for (const { customer, amount, date } of orders) {
    const one = found.get(customer) || { customer, orders: 0, total: 0, last: '' };
    one.orders += 1; one.total += amount;
    if (date > one.last) one.last = date;
    found.set(customer, one);
  }
  return [...found.values()].sort((a, b) => b.total - a.total || (a.customer < b.customer ? -1 : 1));
} };
""",
        """module.exports = { summarise: orders => orders.map(o => ({customer: o.customer, orders: 1, total: o.amount,
  last: o.date})) };
""",
    ),
    program(
        "events-node",
        "bus.js",
        "Write bus.js for Node.js, without the events module, that exports a class Bus (module.exports = Bus). on(name, f) "
        "adds a listener and returns a function that removes it again, once(name, f) adds one for a single call, and emit("
        "name, ...values) calls the listeners in order and returns how many it called. A listener that throws does not keep "
        "the others from being called. Listeners added during an emit are not called by that emit.",
        """
const bus = new it(), seen = [];
const off = bus.on('a', (x, y) => seen.push(['first', x, y]));
bus.once('a', x => seen.push(['once', x]));
check("bus.emit('a', 1, 2)", 2);
check("seen", [['first', 1, 2], ['once', 1]]);
check("bus.emit('a', 3)", 1);
off();
check("bus.emit('a')", 0);
check("bus.emit('nobody')", 0);
bus.on('b', () => { throw new Error('bad'); });
bus.on('b', () => seen.push('after'));
check("bus.emit('b')", 2);
check("seen[seen.length - 1]", 'after');
bus.on('c', () => bus.on('c', () => seen.push('late')));
check("bus.emit('c')", 1);
check("seen.includes('late')", false);
""",
        """module.exports = class Bus {
  constructor() { this.all = new Map(); }
  on(name, f) {
    const entry = { f };
    this.all.set(name, [...(this.all.get(name) || []), entry]);
    return () => this.all.set(name, this.all.get(name).filter(e => e !== entry));
  }
  once(name, f) { const off = this.on(name, (...v) => { off(); f(...v); }); return off; }
  emit(name, ...values) {
    const now = this.all.get(name) || [];
    for (const { f } of now) { try { f(...values); } catch {} }
    return now.length;
  }
};
""",
        """module.exports = class Bus {
  constructor() { this.all = {}; }
  on(name, f) { (this.all[name] ||= []).push(f); }
  once(name, f) { this.on(name, f); }
  emit(name, ...values) { for (const f of this.all[name]) f(...values); return this.all[name].length; }
};
""",
    ),
]
