"""A small REST API for tests, in memory and on loopback: items to list, read, create, change and delete."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ITEMS: dict[int, dict[str, Any]] = {
    1: {"id": 1, "name": "Kettle", "price": 59.9, "tags": ["kitchen"]},
    2: {"id": 2, "name": "Grinder", "price": 129.0, "tags": ["kitchen", "coffee"]},
}


class Api(BaseHTTPRequestHandler):
    """GET and POST /items; GET, PUT and DELETE /items/<id>."""

    protocol_version = "HTTP/1.1"
    wbufsize = 65_536  # one packet for headers and body avoids waiting for an acknowledgement

    def do_GET(self) -> None:
        self._route("GET")

    def do_POST(self) -> None:
        self._route("POST")

    def do_PUT(self) -> None:
        self._route("PUT")

    def do_DELETE(self) -> None:
        self._route("DELETE")

    def _route(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = self.path.strip("/").split("/")
        number = int(parts[1]) if len(parts) == 2 and parts[1].isdigit() else None
        if parts[0] != "items" or len(parts) > 2 or (number not in ITEMS and len(parts) == 2):
            return self._answer(404, {"error": f"there is nothing at {self.path}"})
        if method == "GET":
            return self._answer(200, list(ITEMS.values()) if number is None else ITEMS[number])
        if method == "DELETE" and number is not None:
            del ITEMS[number]
            return self._answer(204, None)
        if (method == "POST") != (number is None):
            return self._answer(405, {"error": f"{method} is not possible here"})
        try:
            item = json.loads(body)
        except ValueError:
            return self._answer(400, {"error": "the body is no JSON"})
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            return self._answer(422, {"error": "an item needs a name"})
        number = number or max(ITEMS, default=0) + 1
        ITEMS[number] = {"id": number, "name": item["name"], "price": item.get("price"), "tags": item.get("tags", [])}
        return self._answer(201 if method == "POST" else 200, ITEMS[number])

    def _answer(self, status: int, value: object) -> None:
        body = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Print nothing. The test reports its own results."""


def start() -> str:
    """Start the API on a free port and return its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}"


if __name__ == "__main__":
    print(start())
    threading.Event().wait()
