// Sort, filter, fold and copy for the tables that the server has already rendered.
"use strict";

(() => {
  const FOLDED = 12; // rows shown before "Show all"
  const rawOf = (cell) => cell.dataset.v ?? cell.textContent.trim();

  function makeButton(text, onClick) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: text });
    button.addEventListener("click", onClick);
    return button;
  }

  // A spreadsheet runs what begins like a formula; a leading quote makes it text.
  function csvField(text) {
    const safe = /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
    return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  }

  class Sheet {
    constructor(table) {
      this.table = table;
      this.heads = [...table.tHead.rows[0].cells];
      this.rows = [...table.tBodies[0].rows];
      this.given = [...this.rows]; // in the order of the server
      this.within = null; // rows that a range of the timeline lets through
      this.texts = new Map(this.rows.map((row) => [row, [...row.cells].map((cell) => `${rawOf(cell)}\n${cell.textContent}`).join("\n").toLowerCase()]));
      this.words = [];
      this.open = this.rows.length <= FOLDED + 3;
      const tools = table.closest(".sheet").querySelector(".tools");
      this.heads.forEach((head) => this.makeSortable(head));
      if (this.rows.length > 6) tools.append(this.filterBox());
      const copy = makeButton(say("Copy CSV"), () => window.traceReport.copy(this.csv(), copy));
      tools.append(copy);
      if (!this.open) {
        this.more = makeButton(say("Show all {count}", { count: this.rows.length }), () => this.unfold());
        this.more.className = "more";
        table.parentElement.after(this.more);
      }
      this.refresh();
    }

    get matching() {
      return this.rows.filter((row) => (!this.within || this.within.has(row)) && this.words.every((word) => this.texts.get(row).includes(word)));
    }

    unfold() {
      this.open = true;
      this.refresh();
    }

    refresh() {
      const all = this.open || this.words.length > 0 || this.within !== null;
      const shown = new Set(all ? this.matching : this.rows.slice(0, FOLDED));
      this.rows.forEach((row) => { row.hidden = !shown.has(row); });
      if (this.more) this.more.hidden = all;
    }

    makeSortable(head) {
      head.replaceChildren(makeButton(head.textContent, () => {
        const [first, other] = head.classList.contains("num") ? ["descending", "ascending"] : ["ascending", "descending"];
        this.sortBy(head, head.getAttribute("aria-sort") === first ? other : first);
      }));
    }

    sortBy(head, order) {
      this.heads.forEach((h) => h.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", order);
      this.sort(head.cellIndex, head.classList.contains("num"), order === "descending" ? -1 : 1);
    }

    // The exact numbers of a column, in the order of the server.
    numbers(key) {
      const { cellIndex } = this.heads.find((head) => head.dataset.key === key);
      return this.given.map((row) => Number(rawOf(row.cells[cellIndex])));
    }

    // Only rows with something in a range: columns { key, title, kind, values in the order of the server }, and what to say
    // of the range. Null shows everything again.
    narrow(columns, told = "") {
      this.table.querySelectorAll(".ranged").forEach((cell) => cell.remove());
      this.note?.remove();
      const before = this.within !== null;
      this.within = null;
      if (columns) {
        this.within = new Set(this.given.filter((_, i) => columns.some(({ values }) => values[i] > 0)));
        this.note = Object.assign(document.createElement("p"), { className: "muted ranged-note",
          textContent: say("{range}: {count} of {all} {all:row|rows}", { range: told, count: this.within.size, all: this.given.length }) });
        this.note.setAttribute("role", "status");
        this.table.parentElement.before(this.note);
        this.addRanged(columns);
      }
      this.heads = [...this.table.tHead.rows[0].cells];
      if (columns) this.sortBy(this.heads[1], "descending");
      else if (before) this.restore();
    }

    restore() {
      this.heads.forEach((head) => head.removeAttribute("aria-sort"));
      this.rows = [...this.given];
      this.table.tBodies[0].append(...this.rows);
      this.refresh();
    }

    // Beside the name, where they are seen without scrolling.
    addRanged(columns) {
      const make = (tag, text) => Object.assign(document.createElement(tag), { className: "num ranged", textContent: text });
      columns.forEach(({ key, title, kind, values }, at) => {
        const head = make("th", title);
        head.scope = "col";
        head.dataset.key = key;
        this.table.tHead.rows[0].cells[at].after(head);
        this.makeSortable(head);
        this.given.forEach((row, i) => {
          const cell = make("td", window.traceReport[kind](values[i]));
          cell.dataset.v = values[i];
          row.cells[at].after(cell);
        });
      });
    }

    sort(column, numeric, sign) {
      const keyed = this.rows.map((row, index) => ({ row, index, raw: rawOf(row.cells[column]) }));
      keyed.sort((a, b) => {
        if ((a.raw === "") !== (b.raw === "")) return a.raw === "" ? 1 : -1; // unknown is last either way
        const order = numeric ? Number(a.raw) - Number(b.raw) : a.raw < b.raw ? -1 : a.raw > b.raw ? 1 : 0;
        return sign * order || a.index - b.index;
      });
      this.rows = keyed.map((item) => item.row);
      this.table.tBodies[0].append(...this.rows);
      this.refresh();
    }

    filterBox() {
      const input = Object.assign(document.createElement("input"), { type: "search", placeholder: say("Filter") });
      input.setAttribute("aria-label", say("Filter: {table}", { table: this.table.closest("[role=region]").getAttribute("aria-label") }));
      input.addEventListener("input", () => {
        this.words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
        this.refresh();
      });
      return input;
    }

    // Every row that the filter lets through, folded away or not, in the order shown.
    csv() {
      const lines = [this.heads.map((cell) => cell.dataset.key), ...this.matching.map((row) => [...row.cells].map(rawOf))];
      return lines.map((line) => line.map(csvField).join(",")).join("\n") + "\n";
    }
  }

  window.traceReport.sheets = {};
  for (const table of document.querySelectorAll("table[data-sheet]")) {
    window.traceReport.sheets[table.dataset.sheet] = new Sheet(table);
  }
})();
