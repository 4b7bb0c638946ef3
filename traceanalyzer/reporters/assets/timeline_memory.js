// Memory below the timeline, on its time axis: allocated and reserved bytes of each device, panned and zoomed with it.
"use strict";

(() => {
  const { above, duration, size, count } = window.traceReport;
  const HEIGHT = 74, TOP = 18, SPACE = 8; // px of a device's curve, of its label, and between two

  class MemoryCurves {
    constructor(timeline) {
      this.timeline = timeline;
      this.curves = timeline.data.memory.map((curve, i) => ({
        ...curve, top: Math.max(1, ...curve.allocated, ...curve.reserved), y: i * (TOP + HEIGHT + SPACE) + TOP,
      }));
      this.canvas = document.getElementById("timeline-memory");
      if (!this.curves.length) return;
      this.canvas.hidden = false;
      this.height = this.curves.length * (TOP + HEIGHT + SPACE);
      timeline.listenOn(this.canvas, { click: () => {}, hover: (x, y) => this.hover(x, y) });
      this.canvas.addEventListener("keydown", (event) => timeline.key(event));
      timeline.layers.push(this);
      timeline.schedule();
    }

    resize(width) {
      const { ratio } = this.timeline;
      this.canvas.style.height = `${this.height}px`;
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(this.height * ratio);
      this.canvas.getContext("2d").setTransform(ratio, 0, 0, ratio, 0, 0);
      this.drawn = `${width} ${ratio}`;
    }

    draw(view) {
      if (this.drawn !== `${view.width} ${this.timeline.ratio}`) this.resize(view.width);
      const pen = this.canvas.getContext("2d"), { colour, fills } = this.timeline.painter;
      const copy = fills[this.timeline.data.kinds.indexOf("copy")];
      pen.clearRect(0, 0, view.width, this.height);
      for (const curve of this.curves) {
        pen.fillStyle = colour.line;
        pen.fillRect(0, curve.y + HEIGHT, view.width, 1);
        this.drawLevel(pen, view, curve, curve.reserved, copy, [5, 3]);
        this.drawLevel(pen, view, curve, curve.allocated, fills[0], []);
        const text = say("{device} · memory, up to {size}", { device: curve.label, size: size(curve.top) });
        pen.font = "11px system-ui, sans-serif";
        pen.fillStyle = colour.ink2;
        pen.fillText(text, 6, curve.y - 6);
      }
      this.drawRange(pen, view, colour);
    }

    // Steps: a level lasts until the next point. Broken where nothing was measured.
    drawLevel(pen, { t0, t1, scale, width }, { at, top, y }, levels, colour, dash) {
      pen.strokeStyle = colour;
      pen.lineWidth = 1.5;
      pen.setLineDash(dash);
      pen.beginPath();
      const first = Math.max(above(at, t0, 0, at.length) - 1, 0);
      for (let i = first, open = false; i < at.length && at[i] <= t1; i += 1) {
        if (levels[i] === null) { open = false; continue; }
        const x = (at[i] - t0) * scale, height = y + HEIGHT * (1 - levels[i] / top);
        if (open) pen.lineTo(x, height); else pen.moveTo(Math.max(x, 0), height);
        if (open) pen.lineTo(x, height);
        pen.lineTo(Math.min(i + 1 < at.length ? (at[i + 1] - t0) * scale : x, width), height);
        open = true;
      }
      pen.stroke();
      pen.setLineDash([]);
    }

    drawRange(pen, { t0, scale }, colour) {
      const { range } = window.traceReport;
      if (range?.from == null) return;
      pen.fillStyle = colour.accent;
      pen.globalAlpha = 0.12;
      pen.fillRect((range.from - t0) * scale, 0, (range.to - range.from) * scale, this.height);
      pen.globalAlpha = 1;
    }

    hover(x, y) {
      const t = this.timeline.timeAt(x), curve = this.curves.find((c) => y < c.y + HEIGHT + SPACE);
      const i = curve ? above(curve.at, t, 0, curve.at.length) - 1 : -1;
      const told = (level) => (level === null ? say("not recorded") : size(level));
      if (i < 0) { this.timeline.hover(null); return; }
      const when = this.timeline.data.unit === "ns" ? duration(t) : say("entry {entry}", { entry: count(Math.floor(t / 1000)) });
      const lines = [say("allocated {size}", { size: told(curve.allocated[i]) }), say("reserved {size}", { size: told(curve.reserved[i]) })];
      this.timeline.hover({ title: say("{device} at {time}", { device: curve.label, time: when }), lines }, x, y + this.canvas.offsetTop);
    }
  }

  document.addEventListener("timelineready", () => { window.traceReport.curves = new MemoryCurves(window.traceReport.timeline); });
})();
