# %% Load
# A DataFrame is a table: named columns, one type each, and an index. `read_csv` makes one of a file, and `parse_dates`
# turns text into dates. `info` is the first thing to look at: it shows the types, and how many cells are filled.
import pandas as pd

orders = pd.read_csv("orders.csv", parse_dates=["date"])
orders.info()
orders.head()

# %% Describe
# `describe` gives the figures of each number column, `value_counts` how often each value occurs, and `isna` where
# cells are missing. Look at these before you trust any result.
print(orders["product"].value_counts(), "\n")
print("missing cells:", orders.isna().sum().sum(), "\n")
orders.describe(include="number").round(2)

# %% Select rows and columns
# A condition in brackets selects rows; combine several with & and |, each in parentheses. `loc` selects rows and
# columns by name at the same time, `query` says the same in words.
large = orders.loc[(orders["units"] >= 5) & (orders["region"] == "North"), ["date", "product", "units"]]
same = orders.query("units >= 5 and region == 'North'")
print(len(large), "large orders in the north; the same by query:", len(same))
large.head()

# %% New columns
# Whole columns are calculated at once: there is no loop, and it is fast. `assign` returns a new table and leaves the
# old one as it is, so that steps can be chained.
orders = orders.assign(month=orders["date"].dt.to_period("M"), is_large=orders["units"] >= 5)
orders[["date", "month", "units", "is_large"]].head()

# %% Join
# `merge` brings two tables together where a column is the same, as JOIN does in SQL. `how="left"` keeps every order,
# and `validate` makes sure that no product is listed twice.
products = pd.DataFrame(
    {
        "product": ["Beans", "Grinder", "Kettle"],
        "price": [24.0, 129.0, 59.9],
        "category": ["food", "machine", "machine"],
    }
)
orders = orders.merge(products, on="product", how="left", validate="many_to_one")
orders["revenue"] = orders["units"] * orders["price"]
orders[["product", "units", "price", "revenue"]].head()

# %% Group
# `groupby` splits a table into groups, `agg` calculates something of each, and the results come together again as a
# table: split, apply, combine. Each result gets a name of its own.
orders.groupby("product").agg(
    orders=("units", "size"),
    units=("units", "sum"),
    revenue=("revenue", "sum"),
    mean_units=("units", "mean"),
).sort_values("revenue", ascending=False).round(2)

# %% Pivot
# `pivot_table` puts the values of one column to the side and those of another to the top, like a pivot table in a
# spreadsheet.
orders.pivot_table(index="region", columns="product", values="revenue", aggfunc="sum", margins=True).round(0)

# %% Time series
# With dates as its index, a table can be resampled to another period, and `rolling` slides a window over it: here the
# revenue of each week, and the mean of four weeks. The first and the last week are not whole, so they are left out.
weekly = orders.set_index("date")["revenue"].resample("W").sum().iloc[1:-1].to_frame()
weekly["mean of 4 weeks"] = weekly["revenue"].rolling(4).mean()
weekly.tail().round(2)

# %% Plot a line
# `plot` draws with matplotlib and returns its axes, which you can change further. `savefig` writes the picture.
import matplotlib.pyplot as plt

axes = weekly.plot(figsize=(8, 4), color=["#93b4f5", "#1d4ed8"], title="Revenue per week")
axes.set(xlabel="", ylabel="revenue")
axes.spines[["top", "right"]].set_visible(False)
plt.tight_layout()
plt.savefig("weekly.png", dpi=120)

# %% Plot bars
# A table with two groupings draws stacked bars: `unstack` turns the inner grouping into columns.
by_month = orders.groupby(["month", "category"])["revenue"].sum().unstack()
axes = by_month.plot.bar(stacked=True, figsize=(8, 4), color=["#93b4f5", "#1d4ed8"], title="Revenue per month")
axes.legend(ncols=2, frameon=False, loc="upper left")
axes.margins(y=0.15)
axes.set(xlabel="", ylabel="revenue")
axes.spines[["top", "right"]].set_visible(False)
plt.tight_layout()
plt.savefig("monthly.png", dpi=120)

# %% Missing values
# `fillna` puts something in the place of missing cells, `dropna` leaves such rows out. Which of the two is right
# depends on why they are missing: decide, and say so.
print("ratings given:", orders["rating"].notna().sum(), "of", len(orders))
print("mean of those given:", round(orders["rating"].mean(), 2))
orders.dropna(subset=["rating"]).groupby("product")["rating"].agg(["mean", "count"]).round(2)

# %% Save
# `to_csv` writes a table; without `index=False` the index becomes a column of its own. There are also `to_excel`,
# `to_json`, `to_sql` and `to_parquet`.
orders.drop(columns=["is_large"]).to_csv("orders_with_revenue.csv", index=False)
print(len(pd.read_csv("orders_with_revenue.csv")), "rows are in orders_with_revenue.csv")
