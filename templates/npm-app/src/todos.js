/** A to-do list in memory. */
export class Todos {
  #items = new Map();
  #next = 1;

  /** Add an item; throws RangeError for a title that is empty or longer than 200 characters. */
  add(title) {
    const text = typeof title === "string" ? title.trim() : "";
    if (text === "" || text.length > 200) {
      throw new RangeError("a title has 1 to 200 characters");
    }
    const item = { id: this.#next++, title: text, done: false };
    this.#items.set(item.id, item);
    return item;
  }

  all() {
    return [...this.#items.values()];
  }

  /** Mark an item as done or not; returns it, or undefined where there is none. */
  mark(id, done) {
    const item = this.#items.get(id);
    if (item) item.done = done;
    return item;
  }

  /** Returns whether there was such an item. */
  remove(id) {
    return this.#items.delete(id);
  }
}
