import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { createApp } from "../src/app.js";

let server, base;

before(async () => {
  server = createApp();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  base = `http://127.0.0.1:${server.address().port}`;
});

after(() => {
  server.closeAllConnections();
  server.close();
});

const call = async (method, path, body) => {
  const answer = await fetch(base + path, { method, body: body && JSON.stringify(body) });
  const text = await answer.text();
  return { status: answer.status, text, json: () => JSON.parse(text) };
};

test("an item can be added, marked as done, and removed", async () => {
  const added = await call("POST", "/todos", { title: "  Buy beans " });
  assert.equal(added.status, 201);
  const { id } = added.json();
  assert.deepEqual((await call("GET", "/todos")).json(), [{ id, title: "Buy beans", done: false }]);
  assert.equal((await call("PATCH", `/todos/${id}`, { done: true })).json().done, true);
  assert.equal((await call("DELETE", `/todos/${id}`)).status, 204);
  assert.deepEqual((await call("GET", "/todos")).json(), []);
});

test("what is wrong is refused with a sentence", async () => {
  for (const title of ["", "   ", "x".repeat(201), 3]) {
    const answer = await call("POST", "/todos", { title });
    assert.equal(answer.status, 400);
    assert.equal(answer.json().error, "a title has 1 to 200 characters");
  }
  assert.equal((await fetch(`${base}/todos`, { method: "POST", body: "{" })).status, 400);
  assert.equal((await call("POST", "/todos", { title: "x".repeat(20_000) })).status, 400);
});

test("what is not there is 404", async () => {
  assert.equal((await call("GET", "/nothing")).status, 404);
  assert.equal((await call("PATCH", "/todos/99", { done: true })).status, 404);
  assert.equal((await call("DELETE", "/todos/99")).status, 404);
});

test("the page shows items as text, whatever they contain", async () => {
  await call("POST", "/todos", { title: "<script>alert(1)</script>" });
  const { text } = await call("GET", "/");
  assert.match(text, /&lt;script&gt;alert\(1\)&lt;\/script&gt;/);
  assert.ok(!text.includes("<script>alert"));
});
