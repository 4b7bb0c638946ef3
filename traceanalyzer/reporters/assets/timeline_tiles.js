// What a row shows, a stretch of pixels at a time: tiles on a grid that is fixed in time, each made once for a scale, so that
// panning makes only what comes into view. What falls on one pixel is merged there by sums made beforehand.
"use strict";

(() => {
  const { above } = window.traceReport;
  const COLUMNS = 128, MOST = 8192; // px of a tile; tiles that are kept, some MB
  const WIDE = 1.5, FAINT = 0.15, STILL = 0.01; // px of an event drawn by itself, opacity of what a search leaves out, px

  class RowTiles {
    constructor(data, pixels) {
      this.data = data;
      this.pixels = pixels; // by kind
      this.kept = new Map();
      this.number = 0;
    }

    // The scale to draw with: panning asks for the one it had but for rounding, and keeps it while nothing moves visibly.
    look(scale, found) {
      const same = Math.abs(scale - this.scale) * this.data.end < STILL && found === this.found;
      if (!same) Object.assign(this, { scale, found });
      if (!same || this.number > MOST) {
        this.kept.clear();
        this.number = 0;
      }
      return this.scale;
    }

    // { words, wide }: the pixels of columns k * COLUMNS and on, null where all are empty, and the events too wide for one.
    of(row, k) {
      if (!this.kept.has(row)) this.kept.set(row, new Map());
      const tiles = this.kept.get(row);
      let tile = tiles.get(k);
      if (!tile) {
        tiles.set(k, tile = this.made(row, k * COLUMNS));
        this.number += 1;
      }
      return tile;
    }

    made(row, from) {
      const { data, scale } = this, { start, dur } = data, end = (from + COLUMNS) / scale, wide = [];
      let words = null;
      for (let i = above(start, Math.ceil(from / scale) - 1, row.first, row.last); i < row.last && start[i] < end;) {
        if (dur[i] * scale >= WIDE) {
          wide.push(i);
          i += 1;
          continue;
        }
        const column = Math.min(Math.max(Math.floor(start[i] * scale) - from, 0), COLUMNS - 1);
        const next = data.narrowUntil(i, row, (from + column + 1) / scale, scale);
        words ??= new Uint32Array(COLUMNS);
        this.mix(words, column, row, i, next);
        i = next;
      }
      return { words, wide };
    }

    // One pixel: the kind with most time, the more opaque the more of the pixel is covered.
    mix(words, at, { first, busy }, from, to) {
      let covered = 0, most = -1, best = this.data.kind[from];
      for (const { kind, before } of busy) {
        const time = before[to - first] - before[from - first];
        covered += time;
        if (time > most) { most = time; best = kind; }
      }
      const faded = this.found && this.found.before[to] === this.found.before[from];
      const opacity = Math.max(0.4, Math.min(1, covered * this.scale)) * (faded ? FAINT : 1);
      const alpha = Math.round(opacity * 255);
      if (alpha >= words[at] >>> 24) words[at] = (alpha << 24) | this.pixels[best];
    }
  }

  Object.assign(window.traceReport, { RowTiles, COLUMNS, WIDE, FAINT });
})();
