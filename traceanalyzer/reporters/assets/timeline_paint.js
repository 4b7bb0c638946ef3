// How the timeline looks: tracks painted into a canvas for a stretch of time. Rows come from timeline_tiles.js, so that a view
// costs what it shows and not what the trace holds, and the next one while panning only what is new in it.
"use strict";

(() => {
  const { above, RowTiles, COLUMNS, WIDE, FAINT } = window.traceReport;
  const FONT = "11px ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace", GLYPH = 6.62;
  const SANS = "11px system-ui, sans-serif";
  const AXIS = 42; // px

  class TimelinePainter {
    constructor(data) {
      this.data = data;
      this.specks = document.createElement("canvas"); // a line per row: what is narrower than a pixel
      this.widths = new Map(); // px of words in SANS
      this.readColours();
    }

    readColours() {
      const style = getComputedStyle(document.documentElement);
      const of = (name) => style.getPropertyValue(`--${name}`).trim();
      this.colour = { paper: of("paper"), tint: of("tint"), ink: of("ink"), ink2: of("ink-2"), line: of("line"),
        accent: of("accent"), onFill: of("on-fill"), idle: of("idle"), idleInk: of("idle-ink") };
      this.fills = this.data.kinds.map(of);
      this.inks = this.data.kinds.map((kind) => (["api", "range"].includes(kind) ? this.colour.ink : this.colour.onFill));
      const pixels = this.fills.map((hex) => [1, 3, 5].reduce((sum, at, i) => sum + parseInt(hex.slice(at, at + 2), 16) * 256 ** i, 0));
      this.tiles = new RowTiles(this.data, pixels);
      this.hatch = this.hatched();
    }

    hatched() {
      const tile = document.createElement("canvas");
      tile.width = tile.height = 8;
      const pen = tile.getContext("2d");
      pen.fillStyle = this.colour.idle;
      pen.fillRect(0, 0, 8, 8);
      pen.strokeStyle = this.colour.idleInk;
      pen.lineWidth = 1.5;
      for (const x of [-8, 0, 8]) { pen.beginPath(); pen.moveTo(x - 1, 9); pen.lineTo(x + 9, -1); pen.stroke(); }
      return pen.createPattern(tile, "repeat");
    }

    // Everything between two times and two heights, from the nearest whole pixel on: `t0`, `t1` and `scale` tell what is drawn.
    // `pen` has its origin at the top of the data.
    draw(pen, { t0, t1, width, top, bottom, found, selected }) {
      const scale = this.tiles.look(width / (t1 - t0), found), column = Math.round(t0 * scale);
      Object.assign(this, { column, width, found, scale, t0: column / scale, t1: (column + width) / scale });
      pen.clearRect(0, top, width, bottom - top);
      this.drawSteps(pen, top, bottom);
      const seen = this.data.tracks.filter((track) => track.y < bottom && track.y + track.h > top);
      for (const track of seen) {
        if (track.type === "label") this.drawLabel(pen, track);
        else if (track.type === "gaps") this.drawGaps(pen, track);
        else if (track.type === "sums") this.drawSums(pen, track);
      }
      this.drawRows(pen, seen.filter((track) => track.type === "row"));
      if (selected) this.drawSelection(pen, selected);
    }

    // In SANS, which the pen must have.
    widthOf(pen, text) {
      if (!this.widths.has(text)) this.widths.set(text, pen.measureText(text).width);
      return this.widths.get(text);
    }

    drawLabel(pen, { text, y, h }) {
      pen.font = SANS;
      pen.fillStyle = this.colour.paper;
      pen.fillRect(3, y, this.widthOf(pen, text) + 6, h - 2);
      pen.fillStyle = this.colour.ink2;
      pen.fillText(text, 6, y + 12);
    }

    drawRows(pen, tracks) {
      if (!tracks.length) return;
      const columns = Math.ceil(this.width);
      if (this.lines?.width !== columns || this.lines.height < tracks.length) { // kept from picture to picture
        this.lines = new ImageData(columns, tracks.length);
        this.words = new Uint32Array(this.lines.data.buffer);
        this.specks.width = columns;
        this.specks.height = tracks.length;
      }
      this.words.fill(0);
      tracks.forEach((track, line) => this.drawRow(pen, track, line * columns, columns));
      this.specks.getContext("2d").putImageData(this.lines, 0, 0);
      pen.imageSmoothingEnabled = false;
      tracks.forEach(({ y, h }, line) => pen.drawImage(this.specks, 0, line, columns, 1, 0, y, columns, h - 2));
    }

    // Its tiles from the one that holds what reaches into the view by less than a pixel; what is longer may begin before them.
    drawRow(pen, track, line, columns) {
      const { row } = track, { start } = this.data, { t0, t1, scale } = this;
      const first = Math.max(Math.floor((this.column - WIDE) / COLUMNS), 0), begin = (first * COLUMNS) / scale;
      for (let i = this.data.firstAfter(t0, row); i < row.last && start[i] < begin; i += 1) this.drawWide(pen, i, track);
      for (let k = first; k * COLUMNS < this.column + columns && k * COLUMNS < t1 * scale; k += 1) {
        const { words, wide } = this.tiles.of(row, k), x = k * COLUMNS - this.column;
        for (const i of wide) this.drawWide(pen, i, track);
        if (words) this.words.set(words.subarray(Math.max(-x, 0), columns - x), line + Math.max(x, 0));
      }
    }

    drawWide(pen, i, { y, h }) {
      const x = (this.data.start[i] - this.t0) * this.scale, w = this.data.dur[i] * this.scale;
      if (w >= WIDE && x < this.width && x + w > 0) this.drawEvent(pen, i, x, w, y, h);
    }

    drawEvent(pen, i, x, w, y, h) {
      const left = Math.max(x, 0), right = Math.min(x + w, this.width);
      pen.globalAlpha = this.found && !this.found.named[this.data.name[i]] ? FAINT : 1;
      pen.fillStyle = this.fills[this.data.kind[i]];
      pen.fillRect(left, y, Math.max(right - left - (w > 4 ? 1 : 0), 1), h - 2);
      const room = Math.floor((right - left - 8) / GLYPH);
      if (room >= 3) {
        const text = this.data.shortName(this.data.name[i]);
        pen.font = FONT;
        pen.fillStyle = this.inks[this.data.kind[i]];
        pen.fillText(text.length <= room ? text : `${text.slice(0, room - 1)}…`, left + 4, y + 10);
      }
      pen.globalAlpha = 1;
    }

    drawSums(pen, { sums, y, h }) {
      const { slice } = this.data, w = Math.max(slice * this.scale, 1);
      for (const i of sums) {
        const x = (this.data.sumStart(i) - this.t0) * this.scale;
        if (x + w < 0 || x > this.width) continue;
        pen.globalAlpha = (this.found ? 0.3 : 1) * Math.max(0.12, Math.min(0.7, this.data.sums.busy[i] / slice));
        pen.fillStyle = this.fills[this.data.sumKind(i)];
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
        pen.fillStyle = this.hatch;
        pen.fillRect(x, y, w - 0.5, h - 2);
        const text = this.gapLabel(pen, gap.cause[i], w - 10);
        if (text) {
          pen.fillStyle = this.colour.idle;
          pen.fillRect(x + 2, y, this.widthOf(pen, text) + 6, h - 2);
          pen.fillStyle = this.colour.ink;
          pen.fillText(text, x + 5, y + 9);
        }
      }
    }

    // The cause in words, or in short, or nothing, as there is room.
    gapLabel(pen, cause, room) {
      const texts = cause ? [this.data.causes[cause], this.data.brief[cause]] : [];
      return texts.find((text) => this.widthOf(pen, text) < room) ?? "";
    }

    drawSteps(pen, top, bottom) {
      pen.fillStyle = this.colour.line;
      for (const [, start, end] of this.data.steps) {
        for (const t of [start, end]) {
          const x = Math.round((t - this.t0) * this.scale);
          if (x >= 0 && x <= this.width) pen.fillRect(x, top, 1, bottom - top);
        }
      }
    }

    drawSelection(pen, { start, dur, y, h }) {
      pen.strokeStyle = this.colour.ink;
      pen.lineWidth = 2;
      pen.strokeRect((start - this.t0) * this.scale - 1, y - 1, Math.max(dur * this.scale, 2) + 1, h);
    }

    drawAxis(pen) {
      const span = this.t1 - this.t0;
      pen.clearRect(0, 0, this.width, AXIS);
      pen.font = SANS;
      const rough = (span * 110) / this.width, power = 10 ** Math.floor(Math.log10(rough));
      const tick = [1, 2, 5, 10].map((m) => m * power).find((t) => t >= rough);
      for (let t = Math.ceil(this.t0 / tick) * tick; t <= this.t1; t += tick) {
        const x = Math.round((t - this.t0) * this.scale);
        pen.fillStyle = this.colour.line;
        pen.fillRect(x, 16, 1, 16);
        pen.fillStyle = this.colour.ink2;
        pen.fillText(this.tickText(t, tick), x + 4, 30);
      }
      let drawnTo = 0;
      for (const [name, start, end] of this.data.steps) {
        const x = Math.max((start - this.t0) * this.scale, 0), right = (end - this.t0) * this.scale;
        if (right < 0 || x > this.width || x < drawnTo) continue;
        pen.fillStyle = this.colour.ink2;
        pen.fillRect(x, 2, 1, 12);
        const text = this.widthOf(pen, name) < right - x - 8 ? name : name.replace(/^.*#/, "#");
        if (this.widthOf(pen, text) < right - x - 6) pen.fillText(text, x + 4, 12);
        drawnTo = x + 8;
      }
    }

    // As many digits as the distance between two ticks needs.
    tickText(t, tick) {
      if (this.data.unit !== "ns") return tick < 1000 ? "" : say("entry {entry}", { entry: (t / 1000).toLocaleString("en") });
      const [scale, unit] = [[1e9, "s"], [1e6, "ms"], [1e3, "µs"], [1, "ns"]].find(([s]) => this.t1 >= s) ?? [1, "ns"];
      const digits = Math.max(0, Math.ceil(Math.log10(scale / tick)));
      return `${(t / scale).toFixed(Math.min(digits, 9))} ${unit}`;
    }
  }

  Object.assign(window.traceReport, { TimelinePainter });
})();
