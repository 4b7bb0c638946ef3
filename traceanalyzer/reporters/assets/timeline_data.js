// What the timeline shows, without a canvas: the events that the page carries, laid out as tracks from top to bottom,
// and what lies at a place, in a stretch of time, under a name. Times are ns from the start, places are px.
"use strict";

(() => {
  const { duration, count } = window.traceReport;
  const ROW = 15, LABEL = 17, GAP_ROW = 13, LANE_SPACE = 7;
  const SLICES = 2048; // of the whole trace, in which events that are not drawn one by one are summed
  const WIDE = 0.5; // px beyond its pixel that make an event one to be drawn by itself

  // First index in [low, high) whose value is above the limit.
  function above(values, limit, low, high) {
    while (low < high) {
      const middle = (low + high) >> 1;
      if (values[middle] > limit) high = middle; else low = middle + 1;
    }
    return low;
  }

  // The same, when it is probably near: steps that double, then halves.
  function aboveNear(values, limit, low, high) {
    let step = 1, from = low;
    while (from + step < high && values[from + step] <= limit) { from += step; step *= 2; }
    return above(values, limit, from, Math.min(from + step + 1, high));
  }

  class TimelineData {
    constructor({ head, columns }) {
      Object.assign(this, head);
      this.start = columns.start;
      this.dur = columns.dur;
      this.kind = Uint8Array.from(columns.kind);
      this.name = Uint32Array.from(columns.name);
      this.by = Uint32Array.from(columns.by);
      this.shape = Uint32Array.from(columns.shape);
      this.module = Uint32Array.from(columns.module);
      this.calls = { start: columns.call_start, dur: columns.call_dur, row: columns.call_row };
      for (let i = 1; i < this.calls.start.length; i += 1) this.calls.start[i] += this.calls.start[i - 1];
      this.sums = { key: columns.sum_key, busy: columns.sum_busy, count: columns.sum_count };
      for (let i = 1; i < this.sums.key.length; i += 1) this.sums.key[i] += this.sums.key[i - 1];
      this.until = new Float64Array(this.n); // latest end so far in the row: sorted even where events overlap
      this.rows = head.rows.map(([lane, , first], r) => this.readRow(lane, first, head.rows[r + 1]?.[2] ?? this.n));
      this.gaps = head.gaps.map((gap) => ({ ...gap, end: gap.start.map((s, i) => s + gap.dur[i]) }));
      this.blocks = this.readBlocks(head.blocks, columns);
      this.layOut();
    }

    // Starts are differences within a row. `busy` holds, per kind that occurs in the row, the time of all events before each.
    readRow(lane, first, last) {
      const { start, dur, kind, until } = this;
      const seen = new Set();
      for (let i = first, t = 0, end = 0; i < last; i += 1) {
        start[i] = t += start[i];
        until[i] = end = Math.max(end, t + dur[i]);
        seen.add(kind[i]);
      }
      const busy = [...seen].map((code) => {
        const before = new Float64Array(last - first + 1);
        for (let i = first; i < last; i += 1) before[i - first + 1] = before[i - first] + (kind[i] === code ? dur[i] : 0);
        return { kind: code, before };
      });
      return { lane, first, last, busy };
    }

    // Blocks of memory by table: [[[table], count]] devices, whose columns follow each other; a row column for each table.
    readBlocks(devices, { block_start: start, block_dur: dur, block_bytes: bytes, block_row: rows }) {
      let last = 0, at = 0;
      return devices.flatMap(([tables, n]) => {
        const first = last;
        last += n;
        for (let i = first + 1; i < last; i += 1) start[i] += start[i - 1];
        return tables.map((table) => ({ table, first, last: first + n, start, dur, bytes, row: rows.subarray(at, at += n) }));
      });
    }

    // Tracks: each device's idle gaps and streams, then the host's threads.
    layOut() {
      const summed = new Map();
      this.sums.key.forEach((_, i) => {
        const lane = this.sumLane(i);
        if (!summed.has(lane)) summed.set(lane, []);
        summed.get(lane).push(i);
      });
      this.tracks = [];
      let y = 4;
      const label = (text, lane) => { this.tracks.push({ type: "label", y, h: LABEL, text, lane }); y += LABEL; };
      const idle = new Map(this.gaps.filter((gap) => gap.start.length).map((gap) => [gap.of, gap]));
      this.lanes.forEach((lane, index) => {
        const gap = lane.side === "device" && idle.get(lane.label.replace(/ · stream [^·]*$/, ""));
        if (gap) {
          label(say("{device} · idle", { device: gap.of }));
          this.tracks.push({ type: "gaps", y, h: GAP_ROW, gap });
          y += GAP_ROW + LANE_SPACE;
          idle.delete(gap.of);
        }
        label(lane.label, index);
        const own = this.rows.filter((row) => row.lane === index), sums = summed.get(index);
        if (sums && lane.side === "device") this.tracks.push({ type: "sums", y, h: ROW, sums });
        for (const row of own) {
          this.tracks.push({ type: "row", y, h: ROW, row });
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

    // The first event of a row that ends after a time.
    firstAfter(t, { first, last }) { return above(this.until, t, first, last); }

    // Events from i on that begin before `edge` and end about there, too: [i, end). What reaches beyond is by itself.
    narrowUntil(i, { last }, edge, scale) {
      const end = aboveNear(this.start, Math.ceil(edge) - 1, i, last); // starts are whole
      return Math.max(above(this.until, edge + WIDE / scale, i, end), i + 1);
    }

    shortName(code) {
      this.short ??= new Map();
      if (!this.short.has(code)) {
        const name = this.names[code - 1] ?? "";
        this.short.set(code, name.replace(/^void /, "").replace(/(?:\b[A-Za-z_]\w*|\(anonymous namespace\))::(?=[A-Za-z_(])/g, ""));
      }
      return this.short.get(code);
    }

    // What lies at a time and a height: { title, lines, start, dur, y, h } or null. `slack` in ns.
    at(t, y, slack) {
      const track = this.tracks.find((s) => s.type !== "label" && s.type !== "sums" && y >= s.y && y < s.y + s.h);
      if (track?.type === "gaps") {
        const { gap } = track;
        const i = above(gap.end, t - slack, 0, gap.end.length);
        if (i < gap.start.length && gap.start[i] <= t + slack) return this.gapHit(track, i);
      }
      if (track?.type === "row") {
        const i = this.nearest(t, track.row, slack);
        if (i >= 0) return this.eventHit(track, i);
      }
      return this.sumHit(t, y);
    }

    nearest(t, row, slack) {
      const { start, dur } = this;
      let best = -1, near = Infinity;
      for (let i = this.firstAfter(t - slack, row); i < row.last && start[i] <= t + slack; i += 1) {
        const away = Math.max(start[i] - t, t - start[i] - dur[i], 0);
        if (away < near || (away === near && dur[i] > dur[best])) { best = i; near = away; }
      }
      return best;
    }

    trackOf(event) { return this.tracks.find((t) => t.type === "row" && event >= t.row.first && event < t.row.last); }

    eventHit(track, i) {
      const { name, by, kind, names, start, dur } = this;
      const lines = [say("{duration} from {start} · {kind}", { duration: duration(dur[i]), start: duration(start[i]), kind: this.words[kind[i]] })];
      if (by[i] > 0) lines.push(say("launched by {op}", { op: names[by[i] - 1] }));
      return { title: names[name[i] - 1] ?? say("(no name)"), lines, start: start[i], dur: dur[i], y: track.y, h: track.h };
    }

    gapHit(track, i) {
      const { start, dur, cause } = track.gap;
      const lines = [say("{duration} from {start}", { duration: duration(dur[i]), start: duration(start[i]) })];
      if (cause[i]) lines.push(this.causes[cause[i]]);
      return { title: say("Idle"), lines, start: start[i], dur: dur[i], y: track.y, h: track.h };
    }

    sumHit(t, y) {
      const track = this.tracks.find((s) => s.type === "sums" && y >= s.y && y < s.y + s.h);
      if (!track) return null;
      const at = Math.floor(t / this.slice), here = track.sums.filter((i) => this.sums.key[i] % SLICES === at);
      if (!here.length) return null;
      const lines = here.map((i) => say("{kind}: {count} {count:event|events}, {duration} together", {
        kind: this.words[this.sumKind(i)], count: count(this.sums.count[i]), duration: duration(this.sums.busy[i]) }));
      return { title: say("Too short to draw one by one"), lines, start: at * this.slice, dur: this.slice, y: track.y, h: track.h };
    }

    sumLane(i) { return Math.floor(this.sums.key[i] / SLICES / this.kinds.length); }
    sumKind(i) { return Math.floor(this.sums.key[i] / SLICES) % this.kinds.length; }
    sumStart(i) { return (this.sums.key[i] % SLICES) * this.slice; }

    // The idle gaps, the longest first, as hits.
    longestGaps() {
      return this.tracks.filter((t) => t.type === "gaps")
        .flatMap((track) => track.gap.start.map((_, i) => [track, i]))
        .sort((a, b) => b[0].gap.dur[b[1]] - a[0].gap.dur[a[1]])
        .map(([track, i]) => this.gapHit(track, i));
    }

    // Which names contain a text, by code, and the events of such names by start; null without a text.
    find(text) {
      if (!text) return null;
      const named = Uint8Array.from(["", ...this.names], (name) => Number(name.toLowerCase().includes(text)));
      const before = new Uint32Array(this.n + 1), events = [];
      this.name.forEach((code, i) => {
        before[i + 1] = before[i] + named[code];
        if (named[code]) events.push(i);
      });
      events.sort((a, b) => this.start[a] - this.start[b]);
      return { named, before, events };
    }
  }

  Object.assign(window.traceReport, { TimelineData, above });
})();
