"""Run tour.py cell by cell and write each cell with its output to tour.md: python make_tour.py"""

import ast
import contextlib
import io
import random
import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd

matplotlib.use("Agg")
pd.set_option("display.width", 110)
pd.set_option("display.max_columns", 12)


def make_orders(path: Path) -> None:
    """Make a year of orders of an imaginary shop, with the same data each time."""
    chance = random.Random(42)
    lines = ["date,region,product,units,rating"]
    for day in range(365):
        for _ in range(chance.randint(0, 3)):
            product = chance.choices(["Beans", "Kettle", "Grinder"], [6, 3, 1])[0]
            units = chance.randint(1, 8) if product == "Beans" else 1
            rating = chance.choices(["5", "4", "3", "2", ""], [5, 4, 2, 1, 3])[0]
            region = chance.choice(["North", "South", "East", "West"])
            lines.append(f"{date(2025, 1, 1) + timedelta(day)},{region},{product},{units},{rating}")
    path.write_text("\n".join(lines) + "\n", "utf-8")


def run(code: str, names: dict[str, Any]) -> str:
    """Run a cell and return its output. As in a notebook, this includes the value of the last line."""
    tree = ast.parse(code, "tour.py")
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(tree, "tour.py", "exec"), names)  # noqa: S102 - it is the file beside this one
        if last is not None:
            value = eval(compile(ast.Expression(last.value), "tour.py", "eval"), names)  # noqa: S307
            if value is not None:
                print(value)
    return printed.getvalue().rstrip()


def main() -> None:
    make_orders(Path("orders.csv"))
    names: dict[str, Any] = {"__name__": "__tour__"}
    parts = ["# A tour of pandas", "", "Made of tour.py, cell by cell. The data is a year of orders, orders.csv.", ""]
    cells = re.split(r"^# %% ", Path("tour.py").read_text("utf-8"), flags=re.MULTILINE)[1:]
    for number, cell in enumerate(cells, 1):
        title, _, rest = cell.partition("\n")
        lines = rest.splitlines()
        count = next(place for place, line in enumerate(lines) if not line.startswith("# "))
        text = " ".join(line.removeprefix("# ") for line in lines[:count])
        code = "\n".join(lines[count:]).strip()
        print(f"\n{'=' * 100}\n{number}. {title}\n{'=' * 100}\n{text}\n\n{code}\n")
        shown = run(code, names)
        print(shown)
        parts += [f"## {number}. {title}", "", text, "", "```python", code, "```", ""]
        parts += ["```text", shown, "```", ""] if shown and "savefig" not in code else []
        parts += [f"![{title}]({name})\n" for name in re.findall(r'savefig\("(.+?)"', code)]
    Path("tour.md").write_text("\n".join(parts), "utf-8")
    print("\nwrote tour.md, weekly.png and monthly.png; change tour.py and run python make_tour.py again")


if __name__ == "__main__":
    main()
