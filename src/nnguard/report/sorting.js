"use strict";
const key = (row, column) => row.cells[column].dataset.key ?? row.cells[column].textContent.trim();
const sort = (table, event) => {
  const heading = event.target.closest("th");
  if (!heading) return;
  const ascending = heading.getAttribute("aria-sort") !== "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const column = heading.cellIndex;
  const rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => (ascending ? 1 : -1) * key(a, column).localeCompare(key(b, column), "en", { numeric: true }));
  table.tBodies[0].append(...rows);
};
for (const table of document.querySelectorAll("table")) table.tHead.addEventListener("click", (event) => sort(table, event));
