// The timeline: a canvas that merges what falls on one pixel, so that 200,000 events repaint within a frame.
"use strict";

(() => {
  const ROW = 15, LABEL = 17, GAP_ROW = 13, LANE_SPACE = 7, MIN_SPAN = 20; // px, and ns
  const FONT = "11px ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace", GLYPH = 6.62;
  const SANS = "11px system-ui, sans-serif";

  // What an element of the page holds, or what its server has under the element's address.
  async function packedBytes(element) {
    if (!element.dataset.src) return Uint8Array.from(atob(element.textContent), (c) => c.charCodeAt(0));
    const answer = await fetch(element.dataset.src + location.search);
    if (!answer.ok) throw new Error(await answer.text());
    return answer.arrayBuffer();
  }

  async function inflate(element) {
    const packed = await packedBytes(element);
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  function duration(ns) {
    if (!ns) return "0 s";
    const units = [[1, "ns"], [1e3, "µs"], [1e6, "ms"], [1e9, "s"]];
    let at = 0;
    while (at < 3 && Math.abs(ns) >= units[at + 1][0] - units[at][0] / 2) at += 1;
    if (at === 0) return `${Math.round(ns)} ns`;
    const value = ns / units[at][0], size = Math.abs(value);
    return `${size < 9.995 ? value.toFixed(2) : size < 99.95 ? value.toFixed(1) : Math.round(value).toLocaleString("en")} ${units[at][1]}`;
  }

  Object.assign(window.traceReport, { inflate, duration });

  // Unpacking: a 4-byte length, a JSON header, then every column as byte planes.
  function unpack(bytes) {
    const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
    const head = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
    let at = 4 + length;
    const column = {};
    for (const [key, count, width] of [...head.columns, ...head.sums]) {
      const values = new Float64Array(count);
      for (let plane = 0, scale = 1; plane < width; plane += 1, scale *= 256) {
        for (let i = 0; i < count; i += 1) values[i] += bytes[at + i] * scale;
        at += count;
      }
      column[key] = values;
    }
    const { start, dur, sum_key: key } = column;
    const until = new Float64Array(head.n); // latest end so far in the row: sorted even where events overlap
    head.rows.forEach(([, , first], r) => {
      const last = r + 1 < head.rows.length ? head.rows[r + 1][2] : head.n;
      for (let i = first, t = 0, end = 0; i < last; i += 1) {
        start[i] = t += start[i];
        until[i] = end = Math.max(end, t + dur[i]);
      }
    });
    for (let i = 1; i < key.length; i += 1) key[i] += key[i - 1];
    return { ...head, ...column, until };
  }

  // First index in [low, high) whose value is above the limit.
  function above(values, limit, low, high) {
    while (low < high) {
      const middle = (low + high) >> 1;
      if (values[middle] > limit) high = middle; else low = middle + 1;
    }
    return low;
  }

  class Timeline {
    constructor(data) {
      this.data = data;
      this.canvas = document.getElementById("timeline-canvas");
      this.axis = document.getElementById("timeline-axis");
      this.tip = document.getElementById("timeline-tip");
      this.status = document.getElementById("timeline-status");
      this.t0 = 0;
      this.t1 = data.end;
      this.matches = null;
      this.selected = null;
      this.layOut();
      this.readColours();
      this.listen();
      this.resize();
    }

    // Tracks from top to bottom: each device's idle gaps and streams, then the host's threads.
    layOut() {
      const { lanes, rows, gaps, n } = this.data;
      const summed = new Map();
      this.data.sum_key.forEach((key, i) => {
        const lane = Math.floor(key / (this.data.kinds.length * 2048));
        if (!summed.has(lane)) summed.set(lane, []);
        summed.get(lane).push(i);
      });
      this.tracks = [];
      let y = 4;
      const label = (text) => { this.tracks.push({ type: "label", y, h: LABEL, text }); y += LABEL; };
      const idle = new Map(gaps.filter((g) => g.start.length).map((gap) => [gap.of, gap]));
      const addGaps = (gap) => {
        label(`${gap.of} · idle`);
        gap.end = gap.start.map((s, i) => s + gap.dur[i]);
        this.tracks.push({ type: "gaps", y, h: GAP_ROW, gap });
        y += GAP_ROW + LANE_SPACE;
        idle.delete(gap.of);
      };
      lanes.forEach((lane, index) => {
        const gap = lane.side === "device" && idle.get(lane.label.replace(/ · stream [^·]*$/, ""));
        if (gap) addGaps(gap);
        label(lane.label);
        const sums = summed.get(index);
        const own = rows.map(([l, , first], r) => ({ l, first, last: r + 1 < rows.length ? rows[r + 1][2] : n }))
          .filter((row) => row.l === index);
        if (sums && lane.side === "device") this.tracks.push({ type: "sums", y, h: ROW, sums });
        for (const row of own) {
          this.tracks.push({ type: "row", y, h: ROW, first: row.first, last: row.last });
          y += ROW;
        }
        if (!own.length && lane.side === "device") y += ROW;
        if (sums && lane.side === "host") {
          this.tracks.push({ type: "sums", y, h: ROW - 4, sums });
          y += ROW - 4;
        }
        y += LANE_SPACE;
      });
      this.height = y + 4;
    }

    readColours() {
      const style = getComputedStyle(document.documentElement);
      const of = (name) => style.getPropertyValue(`--${name}`).trim();
      this.colour = { paper: of("paper"), tint: of("tint"), ink: of("ink"), ink2: of("ink-2"), line: of("line"),
        accent: of("accent"), onFill: of("on-fill"), idle: of("idle"), idleInk: of("idle-ink") };
      this.fills = this.data.kinds.map(of);
      this.inks = this.data.kinds.map((kind) => (["api", "range"].includes(kind) ? this.colour.ink : this.colour.onFill));
      const tile = document.createElement("canvas");
      tile.width = tile.height = 8;
      const pen = tile.getContext("2d");
      pen.fillStyle = this.colour.idle;
      pen.fillRect(0, 0, 8, 8);
      pen.strokeStyle = this.colour.idleInk;
      pen.lineWidth = 1.5;
      for (const x of [-8, 0, 8]) { pen.beginPath(); pen.moveTo(x - 1, 9); pen.lineTo(x + 9, -1); pen.stroke(); }
      this.hatch = tile;
    }

    resize() {
      const ratio = Math.min(window.devicePixelRatio || 1, 2);
      this.width = this.canvas.clientWidth;
      for (const [canvas, height] of [[this.canvas, this.height], [this.axis, 34]]) {
        canvas.style.height = `${height}px`;
        canvas.width = Math.round(canvas.clientWidth * ratio);
        canvas.height = Math.round(height * ratio);
        canvas.getContext("2d").setTransform(ratio, 0, 0, ratio, 0, 0);
      }
      this.draw();
    }

    schedule() {
      if (this.pending) return;
      this.pending = requestAnimationFrame(() => { this.pending = 0; this.draw(); });
    }

    show(t0, t1) {
      const span = Math.min(Math.max(t1 - t0, MIN_SPAN), this.data.end);
      this.t0 = Math.min(Math.max(t0 + (t1 - t0 - span) / 2, 0), this.data.end - span);
      this.t1 = this.t0 + span;
      this.schedule();
    }

    zoom(factor, x = this.width / 2) {
      const at = this.t0 + (x / this.width) * (this.t1 - this.t0);
      this.show(at - (at - this.t0) * factor, at + (this.t1 - at) * factor);
    }

    pan(fraction) {
      const span = this.t1 - this.t0, t0 = Math.min(Math.max(this.t0 + fraction * span, 0), this.data.end - span);
      this.show(t0, t0 + span);
    }

    // Painting
    draw() {
      const pen = this.canvas.getContext("2d");
      this.scale = this.width / (this.t1 - this.t0);
      pen.clearRect(0, 0, this.width, this.height);
      this.drawSteps(pen);
      for (const track of this.tracks) {
        if (track.type === "label") {
          pen.font = SANS;
          pen.fillStyle = this.colour.paper;
          pen.fillRect(3, track.y, pen.measureText(track.text).width + 6, track.h - 2);
          pen.fillStyle = this.colour.ink2;
          pen.fillText(track.text, 6, track.y + 12);
        } else if (track.type === "gaps") this.drawGaps(pen, track);
        else if (track.type === "sums") this.drawSums(pen, track);
        else this.drawRow(pen, track);
      }
      if (this.selected) this.drawSelection(pen);
      this.drawAxis();
      this.canvas.dataset.view = `${this.t0} ${this.t1}`;
      if (!this.selected) this.status.textContent = `Showing ${duration(this.t1 - this.t0)} from ${duration(this.t0)}`;
    }

    drawRow(pen, { first, last, y, h }) {
      const { start, dur, kind, until } = this.data, { t0, t1, scale, fills, matches } = this;
      const share = new Float64Array(fills.length);
      let pixel = -1, covered = 0, hit = false;
      const flush = () => {
        if (pixel < 0) return;
        let best = 0;
        for (let k = 1; k < share.length; k += 1) if (share[k] > share[best]) best = k;
        pen.fillStyle = fills[best];
        pen.globalAlpha = (matches && !hit ? 0.15 : 1) * Math.max(0.4, Math.min(1, covered));
        pen.fillRect(pixel, y, 1, h - 2);
        pen.globalAlpha = 1;
        share.fill(0);
        pixel = -1; covered = 0; hit = false;
      };
      for (let i = above(until, t0, first, last); i < last && start[i] < t1; i += 1) {
        const x = (start[i] - t0) * scale, w = dur[i] * scale;
        if (w >= 1.5) {
          flush();
          this.drawEvent(pen, i, x, w, y, h);
          continue;
        }
        const px = Math.floor(x);
        if (px !== pixel) { flush(); pixel = px; }
        covered += w;
        share[kind[i]] += w + 1e-6;
        hit ||= matches !== null && matches[this.data.name[i]] === 1;
      }
      flush();
    }

    drawEvent(pen, i, x, w, y, h) {
      const faded = this.matches && !this.matches[this.data.name[i]];
      const left = Math.max(x, 0), right = Math.min(x + w, this.width);
      pen.globalAlpha = faded ? 0.15 : 1;
      pen.fillStyle = this.fills[this.data.kind[i]];
      pen.fillRect(left, y, Math.max(right - left - (w > 4 ? 1 : 0), 1), h - 2);
      const room = Math.floor((right - left - 8) / GLYPH);
      if (room >= 3) {
        const text = this.shortName(this.data.name[i]);
        pen.font = FONT;
        pen.fillStyle = this.inks[this.data.kind[i]];
        pen.fillText(text.length <= room ? text : `${text.slice(0, room - 1)}…`, left + 4, y + 10);
      }
      pen.globalAlpha = 1;
    }

    drawSums(pen, { sums, y, h }) {
      const { sum_key: key, sum_busy: busy, kinds, slice } = this.data;
      const w = Math.max(slice * this.scale, 1);
      for (const i of sums) {
        const x = ((key[i] % 2048) * slice - this.t0) * this.scale;
        if (x + w < 0 || x > this.width) continue;
        pen.globalAlpha = (this.matches ? 0.3 : 1) * Math.max(0.12, Math.min(0.7, busy[i] / slice));
        pen.fillStyle = this.fills[Math.floor(key[i] / 2048) % kinds.length];
        pen.fillRect(x, y, w, h - 2);
      }
      pen.globalAlpha = 1;
    }

    drawGaps(pen, { gap, y, h }) {
      pen.font = SANS;
      let drawnTo = -1;
      for (let i = above(gap.end, this.t0, 0, gap.end.length); i < gap.start.length && gap.start[i] < this.t1; i += 1) {
        const x = Math.max((gap.start[i] - this.t0) * this.scale, 0);
        const right = Math.min((gap.end[i] - this.t0) * this.scale, this.width), w = Math.max(right - x, 1);
        if (right <= drawnTo) continue;
        drawnTo = x + w;
        if (w < 4) {
          pen.fillStyle = this.colour.idleInk;
          pen.fillRect(x, y, w, h - 2);
          continue;
        }
        pen.fillStyle = pen.createPattern(this.hatch, "repeat");
        pen.fillRect(x, y, w - 0.5, h - 2);
        const text = this.gapLabel(pen, gap.cause[i], w - 10);
        if (text) {
          pen.fillStyle = this.colour.idle;
          pen.fillRect(x + 2, y, pen.measureText(text).width + 6, h - 2);
          pen.fillStyle = this.colour.ink;
          pen.fillText(text, x + 5, y + 9);
        }
      }
    }

    // The cause in words, or in short, or nothing, as there is room.
    gapLabel(pen, cause, room) {
      const texts = cause ? [this.data.causes[cause], cause.replaceAll("_", " ")] : [];
      return texts.find((text) => pen.measureText(text).width < room) ?? "";
    }

    drawSteps(pen) {
      pen.fillStyle = this.colour.line;
      for (const [, start, end] of this.data.steps) {
        for (const t of [start, end]) {
          const x = Math.round((t - this.t0) * this.scale);
          if (x >= 0 && x <= this.width) pen.fillRect(x, 0, 1, this.height);
        }
      }
    }

    drawSelection(pen) {
      const { start, dur, y, h } = this.selected;
      pen.strokeStyle = this.colour.ink;
      pen.lineWidth = 2;
      pen.strokeRect((start - this.t0) * this.scale - 1, y - 1, Math.max(dur * this.scale, 2) + 1, h);
    }

    drawAxis() {
      const pen = this.axis.getContext("2d"), span = this.t1 - this.t0;
      pen.clearRect(0, 0, this.width, 34);
      pen.font = SANS;
      const rough = (span * 110) / this.width, power = 10 ** Math.floor(Math.log10(rough));
      const tick = [1, 2, 5, 10].map((m) => m * power).find((t) => t >= rough);
      for (let t = Math.ceil(this.t0 / tick) * tick; t <= this.t1; t += tick) {
        const x = Math.round((t - this.t0) * this.scale);
        pen.fillStyle = this.colour.line;
        pen.fillRect(x, 16, 1, 18);
        pen.fillStyle = this.colour.ink2;
        pen.fillText(this.tickText(t, tick), x + 4, 30);
      }
      let drawnTo = 0;
      for (const [name, start, end] of this.data.steps) {
        const x = Math.max((start - this.t0) * this.scale, 0), right = (end - this.t0) * this.scale;
        if (right < 0 || x > this.width || x < drawnTo) continue;
        pen.fillStyle = this.colour.ink2;
        pen.fillRect(x, 2, 1, 12);
        const text = pen.measureText(name).width < right - x - 8 ? name : name.replace(/^.*#/, "#");
        if (pen.measureText(text).width < right - x - 6) pen.fillText(text, x + 4, 12);
        drawnTo = x + 8;
      }
    }

    // As many digits as the distance between two ticks needs.
    tickText(t, tick) {
      const [scale, unit] = [[1e9, "s"], [1e6, "ms"], [1e3, "µs"], [1, "ns"]].find(([s]) => this.t1 >= s) ?? [1, "ns"];
      const digits = Math.max(0, Math.ceil(Math.log10(scale / tick)));
      return `${(t / scale).toFixed(Math.min(digits, 9))} ${unit}`;
    }

    shortName(code) {
      this.short ??= new Map();
      if (!this.short.has(code)) {
        const name = this.data.names[code - 1] ?? "";
        this.short.set(code, name.replace(/^void /, "").replace(/(?:\b[A-Za-z_]\w*|\(anonymous namespace\))::(?=[A-Za-z_(])/g, ""));
      }
      return this.short.get(code);
    }

    // What lies under a point of the canvas: { title, lines, start, dur, y, h } or null.
    at(x, y) {
      const track = this.tracks.find((t) => t.type !== "label" && t.type !== "sums" && y >= t.y && y < t.y + t.h);
      const t = this.t0 + (x / this.width) * (this.t1 - this.t0), slack = 2 / this.scale;
      if (track?.type === "gaps") {
        const { gap } = track;
        const i = above(gap.end, t - slack, 0, gap.end.length);
        if (i < gap.start.length && gap.start[i] <= t + slack) return this.gapHit(track, i);
      }
      if (track?.type === "row") {
        const { start, dur, until } = this.data;
        let best = -1, near = Infinity;
        for (let i = above(until, t - slack, track.first, track.last); i < track.last && start[i] <= t + slack; i += 1) {
          const away = Math.max(start[i] - t, t - start[i] - dur[i], 0);
          if (away < near || (away === near && dur[i] > dur[best])) { best = i; near = away; }
        }
        if (best >= 0) return this.eventHit(track, best);
      }
      return this.sumHit(t, y);
    }

    eventHit(track, i) {
      const { name, by, kind, kinds, names, start, dur } = this.data;
      const lines = [`${duration(dur[i])} from ${duration(start[i])} · ${kinds[kind[i]]}`];
      if (by[i] > 0) lines.push(`launched by ${names[by[i] - 1]}`);
      return { title: names[name[i] - 1] ?? "(no name)", lines, start: start[i], dur: dur[i], y: track.y, h: track.h };
    }

    gapHit(track, i) {
      const { start, dur, cause } = track.gap;
      const lines = [`${duration(dur[i])} from ${duration(start[i])}`];
      if (cause[i]) lines.push(this.data.causes[cause[i]]);
      return { title: "Idle", lines, start: start[i], dur: dur[i], y: track.y, h: track.h };
    }

    sumHit(t, y) {
      const track = this.tracks.find((s) => s.type === "sums" && y >= s.y && y < s.y + s.h);
      if (!track) return null;
      const { sum_key: key, sum_busy: busy, sum_count: count, slice, kinds } = this.data;
      const at = Math.floor(t / slice), here = track.sums.filter((i) => key[i] % 2048 === at);
      if (!here.length) return null;
      const lines = here.map((i) => `${kinds[Math.floor(key[i] / 2048) % kinds.length]}: ${count[i].toLocaleString("en")} events, ${duration(busy[i])} together`);
      return { title: "Too short to draw one by one", lines, start: at * slice, dur: slice, y: track.y, h: track.h };
    }

    // Interaction
    listen() {
      const { canvas } = this, pointers = new Map();
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
        this.moved = 0;
      });
      canvas.addEventListener("pointermove", (event) => {
        const [x, y] = place(event);
        if (!pointers.has(event.pointerId)) return this.hover(x, y);
        const before = [...pointers.values()].map((p) => p[0]);
        this.moved += Math.abs(x - pointers.get(event.pointerId)[0]);
        pointers.set(event.pointerId, [x, y]);
        const after = [...pointers.values()].map((p) => p[0]);
        const spread = (xs) => Math.max(1, Math.abs(xs[0] - (xs[1] ?? xs[0] + 1)));
        const middle = (xs) => xs.reduce((a, b) => a + b, 0) / xs.length;
        this.pan((middle(before) - middle(after)) / this.width);
        if (after.length === 2) this.zoom(spread(before) / spread(after), middle(after));
        this.tip.hidden = true;
        return undefined;
      });
      const release = (event) => {
        if (pointers.delete(event.pointerId) && this.moved < 4 && event.type === "pointerup") this.select(this.at(...place(event)));
      };
      canvas.addEventListener("pointerup", release);
      canvas.addEventListener("pointercancel", release);
      canvas.addEventListener("pointerleave", () => { this.tip.hidden = true; });
      canvas.addEventListener("dblclick", (event) => {
        const hit = this.at(...place(event));
        if (hit) this.show(hit.start - hit.dur * 0.1, hit.start + hit.dur * 1.1);
      });
      canvas.addEventListener("keydown", (event) => this.key(event));
      document.querySelectorAll("[data-zoom]").forEach((button) => button.addEventListener("click", () => {
        if (button.dataset.zoom === "fit") this.show(0, this.data.end);
        else this.zoom(button.dataset.zoom === "in" ? 0.5 : 2);
      }));
      document.querySelectorAll("a.at").forEach((link) => link.addEventListener("click", () => {
        const start = Number(link.dataset.start) - this.data.origin, dur = Math.max(Number(link.dataset.duration), 1000);
        this.show(start - dur * 0.5, start + dur * 1.5);
      }));
      this.listenToSearch();
      new ResizeObserver(() => { if (canvas.clientWidth !== this.width) this.resize(); }).observe(canvas);
      const recolour = () => { this.readColours(); this.schedule(); };
      document.addEventListener("themechange", recolour);
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
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
      const action = actions[event.key] ?? actions[event.key.toLowerCase()];
      if (!action) return;
      event.preventDefault();
      action();
    }

    // The idle gaps from the longest to the shortest.
    nextGap(direction) {
      this.longest ??= this.tracks.filter((t) => t.type === "gaps")
        .flatMap((track) => track.gap.start.map((_, i) => [track, i]))
        .sort((a, b) => b[0].gap.dur[b[1]] - a[0].gap.dur[a[1]]);
      if (!this.longest.length) return;
      this.gapAt = ((this.gapAt ?? (direction > 0 ? -1 : 0)) + direction + this.longest.length) % this.longest.length;
      const hit = this.gapHit(...this.longest[this.gapAt]);
      this.show(hit.start - hit.dur * 0.5, hit.start + hit.dur * 1.5);
      this.select(hit);
    }

    listenToSearch() {
      const input = document.getElementById("timeline-search"), found = document.getElementById("timeline-found");
      let at = -1;
      input.addEventListener("input", () => {
        const text = input.value.trim().toLowerCase();
        this.matches = text ? Uint8Array.from(["", ...this.data.names], (name) => Number(name.toLowerCase().includes(text))) : null;
        this.hits = [];
        if (this.matches) this.data.name.forEach((code, i) => { if (this.matches[code]) this.hits.push(i); });
        this.hits.sort((a, b) => this.data.start[a] - this.data.start[b]);
        found.textContent = text ? `${this.hits.length.toLocaleString("en")} found` : "";
        at = -1;
        this.schedule();
      });
      input.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" || !this.hits?.length) return;
        at = (at + (event.shiftKey ? -1 : 1) + this.hits.length) % this.hits.length;
        const i = this.hits[at], track = this.tracks.find((t) => t.type === "row" && i >= t.first && i < t.last);
        const hit = this.eventHit(track, i), room = Math.max(hit.dur * 4, 1000);
        this.show(hit.start + hit.dur / 2 - room, hit.start + hit.dur / 2 + room);
        this.select(hit);
      });
    }

    select(hit) {
      this.selected = hit;
      if (hit) this.status.textContent = `${hit.title} – ${hit.lines.join(" · ")}`;
      this.schedule();
    }

    hover(x, y) {
      const hit = this.at(x, y);
      this.tip.hidden = !hit;
      if (!hit) return;
      const title = document.createElement("b");
      title.textContent = hit.title.length > 300 ? `${hit.title.slice(0, 299)}…` : hit.title;
      this.tip.replaceChildren(title, ...hit.lines.flatMap((line, i) => (i ? [document.createElement("br"), line] : [line])));
      const scroll = document.getElementById("timeline-scroll"), top = y - scroll.scrollTop + 34;
      this.tip.style.left = `${Math.max(0, Math.min(x + 14, this.width - this.tip.offsetWidth - 4))}px`;
      this.tip.style.top = `${top + 20}px`;
    }
  }

  async function open() {
    const packed = document.getElementById("timeline-data");
    if (!packed) return;
    if (!("DecompressionStream" in window)) {
      document.getElementById("timeline-failed").hidden = false;
      return;
    }
    const data = unpack(await inflate(packed));
    document.getElementById("timeline-app").hidden = false;
    const notes = data.notes.map((text) => Object.assign(document.createElement("li"), { textContent: text }));
    document.getElementById("timeline-notes").replaceChildren(...notes);
    window.traceReport.timeline = new Timeline(data);
  }
  open();
})();
