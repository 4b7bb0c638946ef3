// Sort, search and copy for the tables that the server has already rendered.
"use strict";

(() => {
  const rawOf = (cell) => cell.dataset.v ?? cell.textContent.trim();

  function sortBy(table, column, descending) {
    const body = table.tBodies[0];
    const keyed = [...body.rows].map((row, index) => ({ row, index, raw: rawOf(row.cells[column]) }));
    const numeric = table.tHead.rows[0].cells[column].classList.contains("num");
    const sign = descending ? -1 : 1;
    keyed.sort((a, b) => {
      if ((a.raw === "") !== (b.raw === "")) return a.raw === "" ? 1 : -1; // unknown is last either way
      const order = numeric ? Number(a.raw) - Number(b.raw) : a.raw < b.raw ? -1 : a.raw > b.raw ? 1 : 0;
      return sign * order || a.index - b.index;
    });
    body.append(...keyed.map((item) => item.row));
  }

  function makeSortable(table) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const first = head.classList.contains("num") ? "descending" : "ascending";
        const other = first === "descending" ? "ascending" : "descending";
        const next = head.getAttribute("aria-sort") === first ? other : first;
        heads.forEach((h) => h.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", next);
        sortBy(table, column, next === "descending");
      });
    });
  }

  function makeSearchable(table, tools) {
    const input = document.createElement("input");
    input.type = "search";
    input.placeholder = "Filter";
    input.setAttribute("aria-label", `Filter ${table.dataset.sheet}`);
    const rows = [...table.tBodies[0].rows];
    const texts = rows.map((row) => [...row.cells].map(rawOf).join("\n").toLowerCase());
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      rows.forEach((row, i) => { row.hidden = !words.every((word) => texts[i].includes(word)); });
    });
    tools.append(input);
  }

  // A spreadsheet runs what begins like a formula; a leading quote makes it text.
  function csvField(text) {
    const safe = /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
    return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  }

  function csv(table) {
    const head = [...table.tHead.rows[0].cells].map((cell) => cell.dataset.key);
    const rows = [...table.tBodies[0].rows].filter((row) => !row.hidden).map((row) => [...row.cells].map(rawOf));
    return [head, ...rows].map((row) => row.map(csvField).join(",")).join("\n") + "\n";
  }

  function makeCopyable(table, tools) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy CSV";
    button.addEventListener("click", () => window.traceReport.copy(csv(table), button));
    tools.append(button);
  }

  window.traceReport = { csv };
  for (const table of document.querySelectorAll("table[data-sheet]")) {
    const tools = table.closest(".sheet").querySelector(".tools");
    makeSortable(table);
    if (table.tBodies[0].rows.length > 6) makeSearchable(table, tools);
    makeCopyable(table, tools);
  }
})();
