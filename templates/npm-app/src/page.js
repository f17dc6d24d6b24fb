const ENTITIES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

/** Text that stays text in a page. */
export const escape = (text) => text.replace(/[&<>"']/g, (character) => ENTITIES[character]);

/** The page with all items, and a form for a new one. */
export function page(items) {
  const list = items.map(({ title, done }) => `<li class="${done ? "done" : ""}">${escape(title)}</li>`).join("\n");
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>To do</title>
<style>
  body { font: 17px/1.6 system-ui, sans-serif; max-width: 32rem; margin: 3rem auto; padding: 0 1rem; color: #111827; }
  .done { text-decoration: line-through; color: #9ca3af; }
  form { display: flex; gap: .5rem; }
  input { flex: 1; font: inherit; padding: .4rem .7rem; border: 1px solid #d1d5db; border-radius: 8px; }
  button { font: inherit; padding: .4rem 1rem; border: 0; border-radius: 8px; background: #2563eb; color: #fff; }
</style>
<h1>To do</h1>
<form><input name="title" required maxlength="200" placeholder="What is to be done?"><button>Add</button></form>
<ul>
${list || "<li>Nothing. Well done.</li>"}
</ul>
<script>
  document.forms[0].addEventListener("submit", async (event) => {
    event.preventDefault();
    const title = event.target.elements.title.value;
    await fetch("/todos", { method: "POST", body: JSON.stringify({ title }) });
    location.reload();
  });
</script>
</html>
`;
}
