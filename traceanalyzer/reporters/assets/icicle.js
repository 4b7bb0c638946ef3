// An icicle: a tree as rows of boxes, as wide as their value. Every `figure[data-icicle=ID]` holds a canvas, a toolbar
// and a status line; the element `ID-icicle` holds its data as JSON:
//   { names: [text], links: [of each name, or null] or [], name: [index into names],
//     parent: [index of a row before it, or -1], unit: "ns", "bytes" or "samples",
//     metrics: [{ label: text, values: [each with those of the rows below] }] }
"use strict";

(() => {
  const { duration, size, count } = window.traceReport;
  const ROW = 20, GLYPH = 6.62, FONT = "11px ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace";
  const MOST = 0.99; // a chain of rows that each hold this much of the whole is passed over at first

  class Icicle {
    constructor(figure) {
      this.data = JSON.parse(document.getElementById(`${figure.dataset.icicle}-icicle`).textContent);
      this.canvas = figure.querySelector("canvas");
      this.tip = figure.querySelector(".tip");
      this.status = figure.querySelector(".status");
      this.children = new Map();
      this.data.parent.forEach((parent, i) => {
        if (!this.children.has(parent)) this.children.set(parent, []);
        this.children.get(parent).push(i);
      });
      this.metric = 0;
      this.words = "";
      this.selected = -1;
      this.hovered = -1;
      this.build(figure);
      this.focus = this.firstFork();
      this.draw();
      new ResizeObserver(() => this.draw()).observe(this.canvas);
      document.addEventListener("themechange", () => this.draw());
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    }

    worded(value) {
      return { ns: duration, bytes: size, samples: (n) => say("{count} {count:sample|samples}", { count: count(n) }) }[this.data.unit](value);
    }
    get values() { return this.data.metrics[this.metric].values; }
    nameOf(i) { return i < 0 ? say("everything") : this.data.names[this.data.name[i]]; }
    childrenOf(i) {
      return (this.children.get(i) ?? []).filter((c) => this.values[c] > 0).sort((a, b) => this.values[b] - this.values[a]);
    }
    valueOf(i) { return i < 0 ? this.childrenOf(-1).reduce((sum, c) => sum + this.values[c], 0) : this.values[i]; }

    // The first row, from the root down, whose time is shared by several.
    firstFork() {
      let at = -1;
      const whole = this.valueOf(-1);
      for (;;) {
        const [first] = this.childrenOf(at);
        if (first === undefined || this.values[first] < MOST * whole || !this.childrenOf(first).length) return at;
        at = first;
      }
    }

    build(figure) {
      const bar = figure.querySelector(".toolbar");
      bar.hidden = false;
      const search = bar.querySelector("input");
      search.addEventListener("input", () => { this.words = search.value.toLowerCase(); this.draw(); this.tell(); });
      const [out, root] = bar.querySelectorAll("button");
      out.addEventListener("click", () => this.zoomOut());
      root.addEventListener("click", () => this.zoom(-1));
      const select = bar.querySelector("select");
      if (this.data.metrics.length > 1) {
        select.append(...this.data.metrics.map((m, i) => new Option(m.label, i)));
        select.addEventListener("change", () => { this.metric = Number(select.value); this.zoom(this.firstFork()); });
      } else select.parentElement.hidden = true;
      this.canvas.addEventListener("pointermove", (event) => this.hover(event));
      this.canvas.addEventListener("pointerleave", () => { this.hovered = -1; this.tip.hidden = true; this.draw(); });
      this.canvas.addEventListener("click", (event) => {
        const box = this.at(event);
        if (box) this.zoom(box.i);
      });
      this.canvas.addEventListener("keydown", (event) => this.key(event));
    }

    zoom(i) {
      this.focus = i;
      this.selected = i;
      this.draw();
      this.tell();
    }

    zoomOut() { this.zoom(this.focus < 0 ? -1 : this.data.parent[this.focus]); }

    key(event) {
      const at = this.selected < 0 ? this.focus : this.selected;
      const siblings = at < 0 ? [] : this.childrenOf(this.data.parent[at]);
      const moves = {
        ArrowDown: () => this.childrenOf(at)[0],
        ArrowUp: () => (at < 0 ? undefined : this.data.parent[at]),
        ArrowRight: () => siblings[siblings.indexOf(at) + 1],
        ArrowLeft: () => siblings[siblings.indexOf(at) - 1],
      };
      if (moves[event.key]) {
        const next = moves[event.key]();
        if (next !== undefined) {
          this.selected = next;
          if (!this.boxes.some((box) => box.i === next)) this.focus = this.data.parent[next] ?? -1;
        }
      } else if (event.key === "Enter") this.zoom(at);
      else if (event.key === "Escape" || event.key === "Backspace") this.zoomOut();
      else return;
      event.preventDefault();
      this.draw();
      this.tell();
    }

    // Boxes from the root's row down to the focus, each as wide as the canvas, then what is below the focus.
    layOut() {
      const width = this.canvas.clientWidth, boxes = [];
      const path = [];
      for (let i = this.focus; i >= 0; i = this.data.parent[i]) path.unshift(i);
      const shown = path.slice(-3); // of the way down only what fits without scrolling
      shown.forEach((i, row) => boxes.push({ i, x: 0, w: width, row, above: true }));
      const scale = width / Math.max(this.valueOf(this.focus), 1);
      const place = (i, x, row) => {
        let left = x;
        for (const child of this.childrenOf(i)) {
          const w = this.values[child] * scale;
          if (w < 0.5) break; // sorted: the rest is smaller
          boxes.push({ i: child, x: left, w, row });
          place(child, left, row + 1);
          left += w;
        }
      };
      place(this.focus, 0, shown.length);
      this.boxes = boxes;
      this.rows = Math.max(1, ...boxes.map((box) => box.row + 1));
    }

    draw() {
      if (!this.canvas.clientWidth) return;
      this.layOut();
      const ratio = Math.min(window.devicePixelRatio || 1, 2), { canvas } = this;
      canvas.style.height = `${this.rows * ROW}px`;
      canvas.width = Math.round(canvas.clientWidth * ratio);
      canvas.height = Math.round(this.rows * ROW * ratio);
      const pen = canvas.getContext("2d");
      pen.scale(ratio, ratio);
      pen.font = FONT;
      pen.textBaseline = "middle";
      const style = getComputedStyle(document.documentElement);
      const colour = (name) => style.getPropertyValue(`--${name}`).trim();
      const fills = { plain: colour("compute"), above: colour("range"), dim: colour("idle"), text: colour("on-fill"),
        ink: colour("ink"), accent: colour("accent"), paper: colour("paper") };
      for (const box of this.boxes) this.drawBox(pen, box, fills);
    }

    drawBox(pen, { i, x, w, row, above }, fills) {
      const name = this.nameOf(i), y = row * ROW;
      const hit = this.words && name.toLowerCase().includes(this.words);
      const dim = this.words && !hit;
      pen.globalAlpha = above || dim ? 1 : 0.62 + 0.38 * ((this.data.name[i] * 37 % 11) / 10); // neighbours differ
      pen.fillStyle = dim ? fills.dim : above ? fills.above : fills.plain;
      pen.fillRect(x, y, Math.max(w - 1, 0.5), ROW - 1);
      pen.globalAlpha = 1;
      if (i === this.selected || i === this.hovered) {
        pen.strokeStyle = fills.ink;
        pen.lineWidth = 2;
        pen.strokeRect(x + 1, y + 1, Math.max(w - 3, 1), ROW - 3);
      }
      const room = Math.floor((w - 8) / GLYPH);
      if (room < 3) return;
      pen.fillStyle = dim || above ? fills.ink : fills.text;
      pen.fillText(name.length > room ? `…${name.slice(1 - room)}` : name, x + 4, y + ROW / 2);
    }

    at(event) {
      const row = Math.floor(event.offsetY / ROW), x = event.offsetX;
      return this.boxes.find((box) => box.row === row && x >= box.x && x < box.x + box.w);
    }

    hover(event) {
      const box = this.at(event);
      this.tip.hidden = !box;
      if ((box?.i ?? -1) !== this.hovered) {
        this.hovered = box?.i ?? -1;
        this.draw();
      }
      if (!box) return;
      this.tip.textContent = this.told(box.i);
      const left = Math.min(event.offsetX + 12, this.canvas.clientWidth - this.tip.offsetWidth);
      this.tip.style.transform = `translate(${Math.max(left, 0)}px, ${event.offsetY + 16}px)`;
    }

    told(i) {
      const value = this.valueOf(i), share = (100 * value) / Math.max(this.valueOf(-1), 1);
      return say("{name}: {value}, {share} % of {metric}", { name: this.nameOf(i), value: this.worded(value),
        share: share.toFixed(1), metric: this.data.metrics[this.metric].label });
    }

    toldWithLink(i) {
      const href = i < 0 ? null : this.data.links[this.data.name[i]];
      if (!href) return [this.told(i)];
      const out = { className: "source", target: "_blank", rel: "noopener noreferrer", href, textContent: say("source") };
      return [this.told(i), " ", Object.assign(document.createElement("a"), out)];
    }

    tell() {
      if (!this.words) { this.status.replaceChildren(...this.toldWithLink(this.selected < 0 ? this.focus : this.selected)); return; }
      let count = 0, sum = 0;
      const hit = this.data.name.map((n) => this.data.names[n].toLowerCase().includes(this.words));
      const inside = []; // a hit within a hit is not counted again
      this.data.parent.forEach((parent, i) => {
        inside[i] = hit[i] || (parent >= 0 && inside[parent]);
        count += hit[i];
        if (hit[i] && !(parent >= 0 && inside[parent])) sum += this.values[i];
      });
      const share = (100 * sum) / Math.max(this.valueOf(-1), 1);
      this.status.textContent = say("{count} found, with {value}, {share} %", { count, value: this.worded(sum), share: share.toFixed(1) });
    }
  }

  window.traceReport.icicles = {};
  const watcher = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (isIntersecting) show(target);
    }
  }, { rootMargin: "200px" });
  function show(figure) {
    watcher.unobserve(figure);
    window.traceReport.icicles[figure.dataset.icicle] = new Icicle(figure);
    figure.dataset.drawn = "";
  }
  document.querySelectorAll("figure[data-icicle]").forEach((figure) => watcher.observe(figure));
  // Paper cannot be scrolled to what would be drawn then.
  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("figure[data-icicle]:not([data-drawn])").forEach(show);
  });
})();
