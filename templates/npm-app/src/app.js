import { createServer } from "node:http";

import { page } from "./page.js";
import { Todos } from "./todos.js";

const MOST_BYTES = 10_000;

/** The app as a server that does not listen yet. */
export function createApp(todos = new Todos()) {
  return createServer(async (request, response) => {
    try {
      const [status, body] = await answer(request, todos);
      send(response, status, body);
    } catch (error) {
      const known = error instanceof RangeError || error instanceof SyntaxError;
      send(response, known ? 400 : 500, { error: known ? error.message : "a mistake of ours" });
    }
  });
}

async function answer(request, todos) {
  const { pathname } = new URL(request.url, "http://localhost");
  const id = Number(/^\/todos\/(\d+)$/.exec(pathname)?.[1]);
  const route = `${request.method} ${id ? "/todos/:id" : pathname}`;
  switch (route) {
    case "GET /":
      return [200, page(todos.all())];
    case "GET /todos":
      return [200, todos.all()];
    case "POST /todos":
      return [201, todos.add((await read(request)).title)];
    case "PATCH /todos/:id": {
      const item = todos.mark(id, (await read(request)).done === true);
      return item ? [200, item] : [404, { error: `there is no item ${id}` }];
    }
    case "DELETE /todos/:id":
      return todos.remove(id) ? [204, null] : [404, { error: `there is no item ${id}` }];
    default:
      return [404, { error: `there is nothing at ${pathname}` }];
  }
}

async function read(request) {
  let text = "";
  for await (const part of request) {
    text += part;
    if (text.length > MOST_BYTES) throw new RangeError("the body is too large");
  }
  const value = JSON.parse(text);
  if (typeof value !== "object" || value === null) throw new SyntaxError("the body is no JSON object");
  return value;
}

function send(response, status, body) {
  const isPage = typeof body === "string";
  response.writeHead(status, { "Content-Type": isPage ? "text/html; charset=utf-8" : "application/json" });
  response.end(body === null ? "" : isPage ? body : JSON.stringify(body));
}
