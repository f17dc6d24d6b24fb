"""A small web shop to scrape on loopback: three products, a price list, and a page that robots.txt forbids."""

import threading
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PRODUCTS = {
    "kettle": ("Kettle", 59.90, "Boils a litre of water in three minutes."),
    "grinder": ("Grinder", 129.00, "Conical burrs, forty settings, and quiet before breakfast."),
    "beans": ("Beans", 24.00, "One kilogram, roasted on Tuesdays."),
}
NAVIGATION = '<nav><a href="/">Home</a> <a href="/prices">Prices</a> <a href="/private/orders">Orders</a></nav>'
ROBOTS = "User-agent: *\nDisallow: /private/\n"


def page(title: str, body: str, about: str = "") -> str:
    head = (
        f'<meta charset="utf-8">\n<title>{escape(title)}</title>\n<meta name="description" content="{escape(about)}">'
    )
    body = f"{NAVIGATION}<h1>{escape(title)}</h1>\n{body}"
    return f'<!doctype html>\n<html lang="en">\n{head}\n<body>{body}</body>\n</html>\n'


def pages() -> dict[str, str]:
    """Path → page."""
    links = "".join(f'<li><a href="/products/{key}">{escape(name)}</a></li>' for key, (name, _, _) in PRODUCTS.items())
    rows = "".join(f"<tr><td>{escape(name)}</td><td>{price:.2f}</td></tr>" for name, price, _ in PRODUCTS.values())
    found = {
        "/": page(
            "The Coffee Corner", f"<p>Everything for a good cup.</p><ul>{links}</ul>", "A shop that does not exist."
        ),
        "/prices": page("Prices", f"<table><tr><th>Product</th><th>Price</th></tr>{rows}</table>", "All prices."),
        "/private/orders": page("Orders", "<p>Nobody should read this.</p>"),
    }
    for key, (name, price, text) in PRODUCTS.items():
        found[f"/products/{key}"] = page(name, f"<p>{escape(text)}</p><p>Price: <b>{price:.2f}</b></p>", text)
    return found


class Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = ROBOTS if self.path == "/robots.txt" else pages().get(self.path)
        body = (found or page("Not found", "<p>There is no such page.</p>")).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "text/plain" if self.path == "/robots.txt" else "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Print nothing. The scraper reports the pages that it reads."""


def start() -> str:
    """Start the shop on a free port and return the address of its first page."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}/"


if __name__ == "__main__":
    print(start())
    threading.Event().wait()
