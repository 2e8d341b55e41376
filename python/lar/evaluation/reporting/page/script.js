"use strict";
{
  const shownFirst = 50;
  const table = document.getElementById("latent-table");
  const body = table.tBodies[0];
  const search = document.getElementById("search");
  const tool = document.getElementById("tool");
  const more = document.getElementById("more");
  let all = false;

  const texts = new Map([...body.rows].map((row) => [row, row.cells[0].dataset.value.toLowerCase()]));
  const fits = (row) =>
    texts.get(row).includes(search.value.toLowerCase()) &&
    (!tool.value || row.dataset.tools.split("\n").includes(tool.value));

  function show() {
    const found = [...body.rows].filter(fits);
    const visible = new Set(all ? found : found.slice(0, shownFirst));
    for (const row of body.rows) row.hidden = !visible.has(row);
    document.getElementById("count").textContent = `${visible.size} of ${body.rows.length} shown`;
    more.hidden = visible.size === found.length;
    more.textContent = `Show all ${found.length}`;
  }

  function sort(header) {
    const headers = [...header.parentNode.cells];
    const column = headers.indexOf(header);
    const numeric = header.dataset.sort === "number";
    const ascending = header.ariaSort ? header.ariaSort === "descending" : !numeric;
    for (const other of headers) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const value = (row) => row.cells[column].dataset.value;
    const order = numeric ? (a, b) => value(a) - value(b) : (a, b) => value(a).localeCompare(value(b));
    body.append(...[...body.rows].sort((a, b) => (ascending ? order(a, b) : order(b, a))));
    show();
  }

  for (const header of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => sort(header));
  }
  table.tHead.rows[0].cells[1].setAttribute("aria-sort", "descending");
  search.form.addEventListener("submit", (event) => event.preventDefault());
  search.addEventListener("input", show);
  tool.addEventListener("input", show);
  more.addEventListener("click", () => {
    all = true;
    show();
  });
  show();

  // What a mark of a picture or a latent is, under the pointer; the tables have all of it for the keyboard.
  const tip = document.getElementById("tip");
  document.addEventListener("pointermove", (event) => {
    const mark = event.target.closest(".picture [aria-roledescription][aria-label], [data-tip]");
    const text = mark && (mark.dataset.tip || (mark.tagName !== "g" && mark.getAttribute("aria-label")));
    tip.hidden = !text;
    if (!text) return;
    tip.textContent = text;
    const right = window.scrollX + document.documentElement.clientWidth - tip.offsetWidth - 4;
    tip.style.left = `${Math.max(4, Math.min(event.pageX + 12, right))}px`;
    tip.style.top = `${event.pageY + 16}px`;
  });
}
