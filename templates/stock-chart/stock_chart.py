"""Chart daily prices of a stock: python stock_chart.py [--symbol SYMBOL] [--url URL] [--days N]

The URL, in which {symbol} is replaced, answers with CSV (Date, Open, High, Low, Close, Volume) or with the JSON of
Yahoo's chart API. If the download fails, the sample prices of sample_prices.csv are drawn, and marked as such
everywhere. Writes prices.csv, chart.png and summary.json.
"""

import argparse
import io
import json
import sys
from pathlib import Path
from urllib.parse import quote

import matplotlib
import matplotlib.dates
import matplotlib.pyplot as plt
import pandas as pd
import requests

SAMPLE = Path("sample_prices.csv")
NAMES = {"date": "Date", "time": "Date", "timestamp": "Date", "open": "Open", "high": "High", "low": "Low",
         "close": "Close", "adj close": "Adj Close", "price": "Close", "last": "Close", "volume": "Volume"}  # fmt: skip
UP, DOWN, INK, BLUE, ORANGE = "#86c5a4", "#e9a0a0", "#1f2937", "#2563eb", "#f59e0b"


def download(url: str, symbol: str) -> pd.DataFrame:
    """Download daily prices. Raises RequestException, or ValueError if the answer has none."""
    headers = {"User-Agent": "Mozilla/5.0 (compatible; containerized-agent)", "Accept": "text/csv, application/json"}
    answer = requests.get(url.replace("{symbol}", quote(symbol)), headers=headers, timeout=(5, 30))
    answer.raise_for_status()
    if answer.text.lstrip().startswith("{"):
        return tidy(from_yahoo(answer.json()))
    if answer.text.lstrip().startswith("<"):
        raise ValueError("the answer is a web page, not data")
    return tidy(pd.read_csv(io.StringIO(answer.text)))


def from_yahoo(answer: dict) -> pd.DataFrame:
    try:
        found = answer["chart"]["result"][0]
        figures = found["indicators"]["quote"][0]
        days = pd.to_datetime(pd.Series(found["timestamp"]), unit="s").dt.normalize()
        return pd.DataFrame({"Date": days, **{name.title(): values for name, values in figures.items()}})
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(f"the JSON has no prices: {str(answer)[:200]}") from error


def tidy(table: pd.DataFrame) -> pd.DataFrame:
    """Return Date, Close and the other columns by day. Raises ValueError."""
    table = table.rename(columns={name: NAMES.get(str(name).strip().lower(), str(name)) for name in table.columns})
    if not {"Date", "Close"} <= set(table.columns):
        raise ValueError(f"there are no columns Date and Close, but: {', '.join(map(str, table.columns))[:200]}")
    table = table[[name for name in ("Date", "Open", "High", "Low", "Close", "Volume") if name in table.columns]].copy()
    table["Date"] = pd.to_datetime(table["Date"], errors="coerce", utc=True).dt.tz_localize(None)
    for name in table.columns[1:]:
        table[name] = pd.to_numeric(table[name], errors="coerce")
    table = table.dropna(subset=["Date", "Close"]).drop_duplicates("Date", keep="last").sort_values("Date")
    if len(table) < 2:
        raise ValueError("there are fewer than two days with a price")
    return table.set_index("Date")


def draw(table: pd.DataFrame, title: str, sample: bool) -> None:
    """Draw the closing prices with two moving averages, and the volume below."""
    has_volume = "Volume" in table and table["Volume"].fillna(0).sum() > 0
    figure, panels = plt.subplots(
        2 if has_volume else 1, 1, figsize=(10, 6), dpi=130, sharex=True, squeeze=False,
        gridspec_kw={"height_ratios": [3, 1] if has_volume else [1], "hspace": 0.08},
    )  # fmt: skip
    price = panels[0][0]
    close = table["Close"]
    price.plot(table.index, close, color=INK, linewidth=1.5, label="close")
    price.fill_between(table.index, close, float(close.min()) * 0.98, color=BLUE, alpha=0.05)
    for days, colour in ((20, BLUE), (50, ORANGE)):
        if len(close) > days:
            price.plot(
                table.index, close.rolling(days).mean(), color=colour, linewidth=1.5, label=f"mean of {days} days"
            )
    price.set_ylim(float(close.min()) * 0.98, float(close.max()) * 1.03)
    price.legend(frameon=False, loc="upper left", fontsize=9)
    price.set_title(title, loc="left", fontsize=13, fontweight="bold", parse_math=False)
    if has_volume:
        rises = close.diff().fillna(0) >= 0
        panels[1][0].bar(table.index, table["Volume"], color=rises.map({True: UP, False: DOWN}), width=0.9)
        panels[1][0].set_ylabel("volume", fontsize=9)
        panels[1][0].yaxis.set_major_formatter(matplotlib.ticker.EngFormatter())
    for panel in panels[:, 0]:
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(axis="y", color="#e5e7eb")
        panel.set_axisbelow(True)
    panels[-1][0].xaxis.set_major_formatter(
        matplotlib.dates.ConciseDateFormatter(panels[-1][0].xaxis.get_major_locator())
    )
    if sample:
        price.text(0.5, 0.5, "SAMPLE DATA", transform=price.transAxes, ha="center", va="center", fontsize=46,
                   color="#dc2626", alpha=0.16, rotation=18, fontweight="bold")  # fmt: skip
    figure.savefig("chart.png", bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--symbol", default="AAPL")
    parser.add_argument("--url", required=True)
    parser.add_argument("--days", type=int, default=250, help="trading days to draw, the latest")
    given = parser.parse_args()
    why = ""
    try:
        table = download(given.url, given.symbol)
    except (requests.RequestException, ValueError) as error:
        why = f"{type(error).__name__}: {str(error)[:300]}"
        table = tidy(pd.read_csv(SAMPLE))
    table = table.tail(given.days)
    if why:
        print(f"Prices of {given.symbol} could not be downloaded: {why}")
        print("SAMPLE DATA is drawn instead: these are invented prices, not those of any stock.\n")
    first, last = table["Close"].iloc[0], table["Close"].iloc[-1]
    name = "SAMPLE DATA, not a real stock" if why else given.symbol
    table.to_csv("prices.csv", float_format="%.4f")
    draw(table, f"{name}: {last:,.2f} ({last / first - 1:+.1%} in {len(table)} trading days)", bool(why))
    summary = {
        "symbol": None if why else given.symbol, "sample": bool(why), "why_sample": why, "days": len(table),
        "first": str(table.index[0].date()), "last": str(table.index[-1].date()), "close": round(float(last), 4),
        "change": round(float(last / first - 1), 6), "highest": float(table["Close"].max()),
        "lowest": float(table["Close"].min()),
    }  # fmt: skip
    Path("summary.json").write_text(json.dumps(summary, indent=2) + "\n", "utf-8")
    print(f"{name}: {len(table)} trading days to {summary['last']}, last close {last:,.2f}, {last / first - 1:+.1%}")
    print("wrote chart.png, prices.csv and summary.json")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
