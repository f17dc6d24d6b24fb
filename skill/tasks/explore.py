"""Repositories to explore: find a place in the code and write the answer to a file."""

from __future__ import annotations

from pathlib import Path

from skill.looking import need, same, text
from skill.making import tar
from skill.task import Content, Script, Task

SHOP = {
    "shop/README.md": "# Shop\n\nRun `python -m shop`. Shipping is explained in docs/shipping.md.\n",
    "shop/docs/shipping.md": "Shipping is free from a certain amount. See the code for the amount.\n",
    "shop/shop/__main__.py": "from shop.web import serve\n\nserve(8000)\n",
    "shop/shop/web.py": "from shop.cart import Cart\nfrom shop.checkout import finish\n\n\ndef serve(port):\n    ...\n\n\n"
    "def post_order(request):\n    cart = Cart.load(request.session)\n    return finish(cart, request.user)\n",
    "shop/shop/cart.py": "class Cart:\n    def __init__(self, lines):\n        self.lines = lines\n\n    @property\n"
    "    def total(self):\n        return sum(line.price * line.count for line in self.lines)\n",
    "shop/shop/checkout.py": "from shop.pricing.extra import surcharge\nfrom shop.stock import reserve\n\n\n"
    "def finish(cart, user):\n    reserve(cart)\n    return cart.total + surcharge(cart.total, user.country)\n",
    "shop/shop/stock.py": "SHELF = {}\n\n\ndef reserve(cart):\n    for line in cart.lines:\n        SHELF[line.sku] -= line.count\n",
    "shop/shop/pricing/__init__.py": "",
    "shop/shop/pricing/extra.py": "from shop.pricing.zones import zone_of\n\nSHIPPING = {1: 490, 2: 990, 3: 2490}\n\n\n"
    "def surcharge(total, country):\n    # nothing to send for this much\n    if total >= 7500:\n        return 0\n"
    "    return SHIPPING[zone_of(country)]\n",
    "shop/shop/pricing/zones.py": 'def zone_of(country):\n    return {"DE": 1, "FR": 2, "CH": 2}.get(country, 3)\n',
    "shop/shop/pricing/tax.py": "def tax(total, country):\n    return total * 19 // 119\n",
    "shop/tests/test_cart.py": "def test_total():\n    assert True\n",
}


def judge_shipping(here: Path, given: Path) -> None:
    found = [line.strip() for line in text(here, "answer.txt").splitlines() if line.strip()]
    need(len(found) >= 3, "answer.txt has fewer than three lines")
    need(found[0].rstrip("/").endswith("pricing/extra.py"), f"the file is shop/shop/pricing/extra.py, not {found[0]}")
    need("surcharge" in found[1] and len(found[1]) < 40, f"the function is surcharge, not {found[1]}")
    need("7500" in found[2] or "75.00" in found[2], f"the amount is 7500, not {found[2]}")


PROJECT: dict[str, Content] = {
    "settings.ini": "[app]\nPORT=8000\nDEBUG=no\nCACHE_SECONDS=60\nMAIL_SENDER=shop@example.org\nRETRY_LIMIT=5\nTHEME=dark\n"
    "UPLOAD_FOLDER=uploads\n",
    "main.py": 'from settings import get\nfrom mail import send\n\n# THEME was removed in version 2\nport = int(get("PORT"))\n'
    'if get("DEBUG") == "yes":\n    send("started")\n',
    "mail.py": 'from settings import get\n\n\ndef send(text):\n    print(get("MAIL_SENDER"), text)\n    # RETRY_LIMIT: not yet\n',
    "settings.py": "import configparser\n\n\ndef get(name):\n    parser = configparser.ConfigParser()\n"
    '    parser.read("settings.ini")\n    return parser["app"][name]\n',
    "files.py": 'from settings import get\n\nFOLDER = get("UPLOAD_" + "FOLDER")\n\n\ndef store(name, data):\n'
    '    open(f"{FOLDER}/{name}", "wb").write(data)\n',
}


def judge_unused(here: Path, given: Path) -> None:
    found = [line.strip(" -*`\t") for line in text(here, "unused.txt").splitlines() if line.strip()]
    same(sorted(found), ["CACHE_SECONDS", "RETRY_LIMIT", "THEME"], "unused.txt")


TASKS = [
    Task(
        "find-free-shipping",
        "shop.tar.gz is the source of a web shop. From which amount is shipping free? Write answer.txt with three lines: the "
        "path of the file where this is decided, the name of the function, and the amount as it stands in the code.",
        judge_shipping,
        {"shop.tar.gz": lambda: tar(SHOP)},
        reference={"answer.txt": "shop/shop/pricing/extra.py\nsurcharge\n7500\n"},
        wrong=(
            {"answer.txt": "shop/docs/shipping.md\nshipping\n490\n"},
            {"answer.txt": "shop/shop/pricing/extra.py\n"},
        ),
    ),
    Task(
        "unused-settings",
        "Which settings of settings.ini does the code never read? A comment does not count as reading. Write their names into "
        "unused.txt, one on each line.",
        judge_unused,
        PROJECT,
        "run python",
        reference={"unused.txt": "CACHE_SECONDS\nRETRY_LIMIT\nTHEME\n"},
        wrong=(
            Script(
                "bash",
                "for n in $(grep -o '^[A-Z_]*' settings.ini); do grep -q $n *.py || echo $n; done > unused.txt\n",
            ),
        ),
    ),
]
