// A range of the timeline: how long it is, what each lane does in it, and the page's tables narrowed to it. It is drawn with
// Shift and the pointer (or without Shift in the mode of the button), set by keys, or typed.
"use strict";

(() => {
  const { duration, size, share, count, within, lanesWithin, idleWithin, namesWithin, rowsWithin, heldWithin } = window.traceReport;
  const EDGE = 5, SETTLED_MS = 120; // px around an edge that take hold of it; before the tables follow

  class Range {
    constructor(timeline) {
      this.timeline = timeline;
      this.from = this.to = null;
      this.panel = document.getElementById("timeline-range");
      this.mode = document.getElementById("timeline-measure");
      [this.start, this.end] = this.panel.querySelectorAll("input");
      this.mode.hidden = timeline.data.unit !== "ns"; // entries of a snapshot without times have no length
      if (this.mode.hidden) return;
      this.mode.addEventListener("click", () => this.setMode(!this.armed));
      for (const input of [this.start, this.end]) {
        input.addEventListener("change", () => this.set(Number(this.start.value) * 1e3, Number(this.end.value) * 1e3));
      }
      this.panel.querySelector("[data-range=zoom]").addEventListener("click", () => timeline.show(this.from, this.to));
      this.panel.querySelector("[data-range=clear]").addEventListener("click", () => { this.clear(); timeline.canvas.focus(); });
      timeline.layers.push(this);
    }

    get armed() { return this.mode.getAttribute("aria-pressed") === "true"; }

    setMode(on) {
      this.mode.setAttribute("aria-pressed", String(on));
      this.timeline.canvas.classList.toggle("measuring", on);
    }

    set(from, to) {
      const clamp = (t) => Math.min(Math.max(Math.round(t), 0), this.timeline.data.end);
      [this.from, this.to] = [clamp(from), clamp(to)].sort((a, b) => a - b);
      if (this.from === this.to) { this.clear(); return; }
      this.timeline.schedule();
      this.tell();
      clearTimeout(this.settling);
      this.settling = setTimeout(() => this.narrow(), SETTLED_MS);
    }

    clear() {
      this.from = this.to = null;
      this.panel.hidden = true;
      this.timeline.schedule();
      clearTimeout(this.settling);
      Object.values(window.traceReport.sheets).forEach((sheet) => sheet.narrow(null));
    }

    // Gestures of the timeline that are ours: a function of x while the drag lasts, of a key what it does.
    drag(event, x) {
      const { t0, scale } = this.timeline.view;
      const near = (t) => this.from !== null && Math.abs((t - t0) * scale - x) <= EDGE;
      if (!event.shiftKey && !this.armed && !near(this.from) && !near(this.to)) return null;
      const anchor = near(this.from) ? this.to : near(this.to) ? this.from : this.timeline.timeAt(x);
      return (now) => this.set(anchor, this.timeline.timeAt(now));
    }

    key(event) {
      const { t0, t1, selected } = this.timeline, nudge = (t1 - t0) / 50;
      if (event.key.toLowerCase() === "r") return () => (selected?.dur ? this.set(selected.start, selected.start + selected.dur) : this.set(t0, t1));
      if (this.from === null) return null;
      if (event.key === "Escape") return () => { this.clear(); this.timeline.select(null); };
      if (event.key.toLowerCase() === "z") return () => this.timeline.show(this.from, this.to);
      const moves = { ArrowLeft: [0, -nudge], ArrowRight: [0, nudge], ArrowDown: [-nudge, 0], ArrowUp: [nudge, 0] }[event.key];
      return event.shiftKey && moves ? () => this.set(this.from + moves[0], Math.max(this.to + moves[1], this.from + 1)) : null;
    }

    draw({ t0, width, scale, top, bottom }, pen, axis) {
      if (this.from === null) return;
      const { colour } = this.timeline.painter;
      const x = (this.from - t0) * scale, right = (this.to - t0) * scale;
      pen.fillStyle = colour.paper;
      pen.globalAlpha = 0.55; // the rest steps back
      if (x > 0) pen.fillRect(0, top, Math.min(x, width), bottom - top);
      if (right < width) pen.fillRect(Math.max(right, 0), top, width - Math.max(right, 0), bottom - top);
      pen.globalAlpha = 1;
      pen.fillStyle = axis.fillStyle = colour.ink;
      for (const edge of [x, right]) pen.fillRect(Math.round(edge) - 1, top, 2, bottom - top);
      axis.fillRect(Math.max(x, 0), 33, Math.min(right, width) - Math.max(x, 0), 3);
    }

    // The lanes in it
    tell() {
      const { data } = this.timeline, span = this.to - this.from;
      this.panel.hidden = false;
      this.start.value = this.from / 1e3;
      this.end.value = this.to / 1e3;
      this.panel.querySelector("output").textContent = duration(span);
      const lanes = lanesWithin(data, this.from, this.to).filter((lane) => lane.events || lane.summed);
      this.summed = lanes.reduce((sum, lane) => sum + lane.summed, 0);
      const rows = lanes.map((lane) => [
        lane.label, `${lane.summed ? "≈ " : ""}${duration(lane.busy)}`, share(lane.busy / span), duration(span - lane.busy),
        lane.summed ? say("{count} + {short} short {short:one|ones}", { count: count(lane.events), short: count(lane.summed) }) : count(lane.events)]);
      this.panel.querySelector("tbody").replaceChildren(...rows.map(([head, ...cells]) => {
        const row = document.createElement("tr"), label = document.createElement("th");
        label.scope = "row";
        label.textContent = head;
        row.append(label, ...cells.map((text) => Object.assign(document.createElement("td"), { className: "num", textContent: text })));
        return row;
      }));
      this.panel.querySelector("ul").replaceChildren(...data.gaps.filter((gap) => gap.start.length).map((gap) => {
        const idle = idleWithin(data, gap, this.from, this.to);
        const whole = say("{device}: {time} idle", { device: gap.of, time: duration(idle.reduce((sum, [, ns]) => sum + ns, 0)) });
        const parts = idle.map(([words, ns]) => say("{time} {cause}", { time: duration(ns), cause: words ?? say("in short gaps") })).join(say("; "));
        return Object.assign(document.createElement("li"), { textContent: parts ? `${whole} – ${parts}` : whole });
      }));
    }

    // The tables in it
    narrow() {
      const { data } = this.timeline, found = namesWithin(data, this.from, this.to);
      this.narrowByName("kernels", [["ns_in_range", say("In range"), "duration", found.kernel],
        ["count_in_range", say("Calls in range"), "count", found.executions]]);
      this.narrowByName("ops", [["device_ns_in_range", say("Device in range, self"), "duration", found.launched],
        ["host_ns_in_range", say("Host in range"), "duration", found.host], ["count_in_range", say("Calls in range"), "count", found.calls]]);
      const { shapes, modules } = rowsWithin(data, this.from, this.to);
      this.narrowByRow("ops-by-shape", [["device_ns_in_range", say("Device in range, self"), "duration", shapes.launched],
        ["host_ns_in_range", say("Host in range"), "duration", shapes.host], ["count_in_range", say("Calls in range"), "count", shapes.count]]);
      this.narrowByRow("modules", [["device_ns_in_range", say("Device in range"), "duration", modules.device],
        ["host_ns_in_range", say("Host in range"), "duration", modules.host], ["count_in_range", say("Calls in range"), "count", modules.count]]);
      const gaps = window.traceReport.sheets["idle-gaps"];
      gaps?.narrow([{ key: "ns_in_range", title: say("In range"), kind: "duration", values: gaps.numbers("start_ns").map((start, i) =>
        within(start - data.origin, gaps.numbers("duration_ns")[i], this.from, this.to)) }], this.told);
      data.blocks.forEach((blocks) => this.narrowHeld(blocks));
    }

    // Who held memory when most of it was held within the range.
    narrowHeld(blocks) {
      const sheet = window.traceReport.sheets[blocks.table];
      if (!sheet) return;
      const { at, bytes, blocks: number } = heldWithin(blocks, this.from, this.to);
      const others = bytes[0] ? say(" (and {size} of owners that this table does not list)", { size: size(bytes[0]) }) : "";
      const of = (values) => sheet.given.map((_, i) => values[i + 1] ?? 0);
      sheet.narrow([{ key: "bytes_in_range", title: say("Held in range"), kind: "size", values: of(bytes) },
        { key: "blocks_in_range", title: say("Blocks in range"), kind: "count", values: of(number) }],
      say("{range}, most is held at {time}", { range: this.told, time: duration(at) }) + others);
    }

    get told() { return say("In {duration} from {start}", { duration: duration(this.to - this.from), start: duration(this.from) }); }

    // `listed` has the code of each row's name; what is in range and in no row is told beside the table.
    narrowByName(id, columns) {
      const sheet = window.traceReport.sheets[id], codes = this.timeline.data.listed[id];
      if (!sheet || !codes) return;
      const listed = new Set(codes);
      let others = 0, time = 0;
      columns[0][3].forEach((ns, code) => { if (ns > 0 && code && !listed.has(code)) { others += 1; time += ns; } });
      const rest = others ? say(" (and {time} in {count} that this table does not list)", { time: duration(time), count: count(others) }) : "";
      const narrowed = columns.map(([key, title, kind, values]) => ({ key, title, kind, values: codes.map((code) => (code ? values[code] : 0)) }));
      sheet.narrow(narrowed, this.told + rest + this.short);
    }

    // Columns by row from 1, before which is what no row holds.
    narrowByRow(id, columns) {
      const sheet = window.traceReport.sheets[id];
      if (!sheet) return;
      const others = columns[0][3][0];
      const rest = others ? say(" (and {time} that no row of this table holds)", { time: duration(others) }) : "";
      const narrowed = columns.map(([key, title, kind, values]) => ({ key, title, kind, values: [...values.subarray(1)] }));
      sheet.narrow(narrowed, this.told + rest + this.short);
    }

    get short() {
      return this.summed ? say(", without {count} {count:event|events} too short to be drawn one by one", { count: count(this.summed) }) : "";
    }
  }

  document.addEventListener("timelineready", () => { window.traceReport.range = new Range(window.traceReport.timeline); });
})();
