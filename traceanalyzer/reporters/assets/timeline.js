// The timeline as one uses it: pan and zoom by mouse, fingers and keys, tell what is under the pointer, search. What
// lies there is timeline_data.js, how it looks timeline_paint.js; a range of it is timeline_range.js.
"use strict";

(() => {
  const { TimelineData, TimelinePainter, duration, count } = window.traceReport;
  const MIN_SPAN = 20, AXIS = 42; // ns, px
  const RESTED_MS = 120; // without a picture until the words about it follow

  class Timeline {
    constructor(data) {
      this.data = data;
      this.painter = new TimelinePainter(data);
      for (const part of ["canvas", "axis", "scroll", "space", "tip", "status"]) this[part] = document.getElementById(`timeline-${part}`);
      this.t0 = 0;
      this.t1 = data.end;
      this.found = null;
      this.selected = null;
      this.hovered = ""; // what the tip tells
      this.layers = []; // of others: { draw(view) } is called after each painting, { drag(…) } may take a gesture over
      this.listen();
      this.listenToSearch();
      this.resize();
    }

    get tracks() { return this.data.tracks; }
    get view() {
      const { t0, t1, width } = this, top = this.scroll.scrollTop;
      return { t0, t1, width, scale: width / (t1 - t0), top, bottom: top + this.shownHeight };
    }
    timeAt(x) { return this.t0 + (x / this.width) * (this.t1 - this.t0); }

    // The canvas is as high as what is seen of the tracks, and stays in place while they scroll.
    resize(all = false) {
      const ratio = Math.min(window.devicePixelRatio || 1, 2);
      this.space.style.height = `${this.data.height}px`;
      this.width = this.scroll.clientWidth;
      this.shownHeight = all ? this.data.height : Math.min(this.data.height, this.scroll.clientHeight);
      for (const [canvas, height] of [[this.canvas, this.shownHeight], [this.axis, AXIS]]) {
        canvas.style.height = `${height}px`;
        canvas.width = Math.round(this.width * ratio);
        canvas.height = Math.round(height * ratio);
      }
      this.ratio = ratio;
      this.draw();
      this.tell();
    }

    schedule() { this.pending ||= requestAnimationFrame(() => this.draw()); }

    draw() {
      this.pending = 0;
      const { view, ratio } = this, pen = this.canvas.getContext("2d"), axis = this.axis.getContext("2d");
      pen.setTransform(ratio, 0, 0, ratio, 0, -view.top * ratio);
      this.painter.draw(pen, { ...view, found: this.found, selected: this.selected });
      axis.setTransform(ratio, 0, 0, ratio, 0, 0);
      this.painter.drawAxis(axis);
      const { t0, t1, scale } = this.painter;
      for (const layer of this.layers) layer.draw?.({ ...view, t0, t1, scale }, pen, axis);
      clearTimeout(this.resting);
      this.resting = setTimeout(() => this.tell(), RESTED_MS);
    }

    // What is selected, or else in view. Once a movement has ended: a word that changes makes the browser lay out and paint
    // the whole page, which takes longer than the picture, and who listens wants no number for each frame.
    tell() {
      const { selected, t0, t1 } = this;
      const text = selected ? `${selected.title} – ${selected.lines.join(" · ")}`
        : this.data.unit === "ns" ? say("Showing {span} from {start}", { span: duration(t1 - t0), start: duration(t0) })
        : say("Showing {count} {count:entry|entries}", { count: count(Math.ceil((t1 - t0) / 1000)) });
      if (this.status.textContent !== text) this.status.textContent = text;
    }

    // The view
    show(t0, t1) {
      const span = Math.min(Math.max(t1 - t0, MIN_SPAN), this.data.end);
      this.t0 = Math.min(Math.max(t0 + (t1 - t0 - span) / 2, 0), this.data.end - span);
      this.t1 = this.t0 + span;
      this.schedule();
    }

    showAround({ start, dur, y, h }) {
      this.show(start - dur * 0.5, start + dur * 1.5);
      if (y === undefined) return;
      const { top, bottom } = this.view;
      if (y < top || y + h > bottom) this.scroll.scrollTop = y - this.shownHeight / 2;
    }

    zoom(factor, x = this.width / 2) {
      const at = this.timeAt(x);
      this.show(at - (at - this.t0) * factor, at + (this.t1 - at) * factor);
    }

    pan(fraction) {
      const span = this.t1 - this.t0, t0 = Math.min(Math.max(this.t0 + fraction * span, 0), this.data.end - span);
      this.show(t0, t0 + span);
    }

    at(x, y) { return this.data.at(this.timeAt(x), y, 2 / this.view.scale); }

    select(hit) {
      this.selected = hit;
      this.tell();
      this.schedule();
    }

    // Gestures
    listen() {
      this.listenOn(this.canvas, {
        click: (x, y) => this.select(this.at(x, y + this.scroll.scrollTop)),
        hover: (x, y) => this.hover(this.at(x, y + this.scroll.scrollTop), x, y + AXIS),
        open: (x, y) => {
          const hit = this.at(x, y + this.scroll.scrollTop);
          if (hit) this.show(hit.start - hit.dur * 0.1, hit.start + hit.dur * 1.1);
        },
      });
      this.canvas.addEventListener("keydown", (event) => this.key(event));
      this.scroll.addEventListener("scroll", () => { this.hover(null); this.schedule(); });
      document.querySelectorAll("[data-zoom]").forEach((button) => button.addEventListener("click", () => {
        if (button.dataset.zoom === "fit") this.show(0, this.data.end);
        else this.zoom(button.dataset.zoom === "in" ? 0.5 : 2);
      }));
      new ResizeObserver(() => { if (this.scroll.clientWidth !== this.width) this.resize(); }).observe(this.scroll);
      const recolour = () => { this.painter.readColours(); this.schedule(); };
      document.addEventListener("themechange", recolour);
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
      window.addEventListener("beforeprint", () => this.resize(true));
      window.addEventListener("afterprint", () => this.resize());
    }

    // Drag pans, two fingers and the wheel zoom, on any canvas with this time axis.
    listenOn(canvas, { click, hover, open }) {
      const pointers = new Map();
      let moved = 0, drag = null;
      const place = (event) => {
        const box = canvas.getBoundingClientRect();
        return [event.clientX - box.left, event.clientY - box.top];
      };
      canvas.addEventListener("wheel", (event) => {
        const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey;
        const ours = event.ctrlKey || event.metaKey || document.activeElement === canvas;
        if (!sideways && !ours) return; // the page scrolls
        event.preventDefault();
        if (sideways) this.pan((event.deltaX || event.deltaY) / this.width);
        else this.zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY / 240))), place(event)[0]);
      }, { passive: false });
      canvas.addEventListener("pointerdown", (event) => {
        canvas.setPointerCapture(event.pointerId);
        pointers.set(event.pointerId, place(event));
        moved = 0;
        drag = this.layers.map((layer) => layer.drag?.(event, place(event)[0])).find(Boolean) ?? null;
      });
      canvas.addEventListener("pointermove", (event) => {
        const [x, y] = place(event);
        if (!pointers.has(event.pointerId)) { hover(x, y); return; }
        const before = [...pointers.values()].map((p) => p[0]);
        moved += Math.abs(x - pointers.get(event.pointerId)[0]);
        pointers.set(event.pointerId, [x, y]);
        this.hover(null);
        if (drag) drag(x);
        else this.panBetween(before, [...pointers.values()].map((p) => p[0]));
      });
      const release = (event) => {
        const still = pointers.delete(event.pointerId) && moved < 4 && event.type === "pointerup";
        if (still && !drag) click(...place(event));
      };
      canvas.addEventListener("pointerup", release);
      canvas.addEventListener("pointercancel", release);
      canvas.addEventListener("pointerleave", () => this.hover(null));
      if (open) canvas.addEventListener("dblclick", (event) => open(...place(event)));
    }

    panBetween(before, after) {
      const spread = (xs) => Math.max(1, Math.abs(xs[0] - (xs[1] ?? xs[0] + 1)));
      const middle = (xs) => xs.reduce((a, b) => a + b, 0) / xs.length;
      this.pan((middle(before) - middle(after)) / this.width);
      if (after.length === 2) this.zoom(spread(before) / spread(after), middle(after));
    }

    key(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const actions = {
        ArrowLeft: () => this.pan(-0.2), ArrowRight: () => this.pan(0.2), a: () => this.pan(-0.2), d: () => this.pan(0.2),
        "+": () => this.zoom(0.6), "=": () => this.zoom(0.6), w: () => this.zoom(0.6),
        "-": () => this.zoom(1 / 0.6), s: () => this.zoom(1 / 0.6),
        0: () => this.show(0, this.data.end), Home: () => this.show(0, this.data.end),
        n: () => this.nextGap(1), p: () => this.nextGap(-1), Escape: () => this.select(null),
      };
      const action = this.layers.map((layer) => layer.key?.(event)).find(Boolean) ?? actions[event.key] ?? actions[event.key.toLowerCase()];
      if (!action) return;
      event.preventDefault();
      action();
    }

    // The idle gaps from the longest to the shortest.
    nextGap(direction) {
      this.longest ??= this.data.longestGaps();
      if (!this.longest.length) return;
      this.gapAt = ((this.gapAt ?? (direction > 0 ? -1 : 0)) + direction + this.longest.length) % this.longest.length;
      const hit = this.longest[this.gapAt];
      this.showAround(hit);
      this.select(hit);
    }

    listenToSearch() {
      this.search = document.getElementById("timeline-search");
      this.search.addEventListener("input", () => this.lookFor(this.search.value));
      this.search.addEventListener("keydown", (event) => { if (event.key === "Enter") this.nextFound(event.shiftKey ? -1 : 1); });
    }

    lookFor(text) {
      this.found = this.data.find(text.trim().toLowerCase());
      this.foundAt = -1;
      document.getElementById("timeline-found").textContent = this.found ? say("{count} found", { count: count(this.found.events.length) }) : "";
      this.schedule();
    }

    nextFound(direction) {
      const events = this.found?.events;
      if (!events?.length) return;
      this.foundAt = (this.foundAt + direction + events.length) % events.length;
      const i = events[this.foundAt], hit = this.data.eventHit(this.data.trackOf(i), i), room = Math.max(hit.dur * 4, 1000);
      this.showAround({ ...hit, start: hit.start + hit.dur / 2 - room / 2, dur: room });
      this.select(hit);
    }

    searchFor(name) {
      this.search.value = name;
      this.lookFor(name);
      this.nextFound(1);
    }

    // What is under the pointer, beside a place within the box around the canvases. The page changes only where this does: a
    // box that is moved by a transform is not laid out or painted again.
    hover(hit, x, y) {
      const told = hit ? [hit.title, ...hit.lines].join("\n") : "";
      if (told !== this.hovered) {
        this.hovered = told;
        this.tip.hidden = !hit;
        if (hit) this.fillTip(hit);
      }
      if (hit) this.tip.style.transform = `translate(${Math.max(0, Math.min(x + 14, this.width - this.tipWidth - 4))}px, ${y + 20}px)`;
    }

    fillTip({ title, lines }) {
      const head = document.createElement("b");
      head.textContent = title.length > 300 ? `${title.slice(0, 299)}…` : title;
      this.tip.replaceChildren(head, ...lines.flatMap((line, i) => (i ? [document.createElement("br"), line] : [line])));
      this.tipWidth = this.tip.offsetWidth;
    }
  }

  async function open() {
    const packed = document.getElementById("timeline-data");
    if (!packed) return;
    if (!("DecompressionStream" in window)) {
      document.getElementById("timeline-failed").hidden = false;
      return;
    }
    const data = new TimelineData(window.traceReport.columnsOf(await window.traceReport.inflate(packed)));
    document.getElementById("timeline-app").hidden = false;
    const notes = data.notes.map((text) => Object.assign(document.createElement("li"), { textContent: text }));
    document.getElementById("timeline-notes").replaceChildren(...notes);
    window.traceReport.timeline = new Timeline(data);
    document.dispatchEvent(new Event("timelineready"));
  }
  open();
})();
