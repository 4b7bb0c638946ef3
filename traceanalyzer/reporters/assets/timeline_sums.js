// What a stretch of time holds: how long each lane is busy in it, and how much of it each name takes.
"use strict";

(() => {
  const { above } = window.traceReport;

  // Of an event or a gap, the part that lies between two times.
  const within = (start, dur, from, to) => Math.max(0, Math.min(start + dur, to) - Math.max(start, from));

  function eachEvent(data, row, from, to, visit) {
    const { start, dur } = data;
    for (let i = data.firstAfter(from, row); i < row.last && start[i] < to; i += 1) {
      const part = within(start[i], dur[i], from, to);
      if (part > 0 || (dur[i] === 0 && start[i] >= from)) visit(i, part);
    }
  }

  // Per lane { label, busy, events, summed }: busy where at least one event is open; `summed` tells that events which are
  // not drawn one by one lie there, too, which count with their share of a slice.
  function lanesWithin(data, from, to) {
    const lanes = data.lanes.map(({ label, side }) => ({ label, side, busy: 0, events: 0, summed: 0 }));
    const begun = new Set();
    for (const row of data.rows) {
      const lane = lanes[row.lane], outermost = !begun.has(row.lane);
      begun.add(row.lane);
      let open = from;
      eachEvent(data, row, from, to, (i, part) => {
        lane.events += 1;
        const end = Math.min(data.start[i] + data.dur[i], to);
        if (outermost && part > 0) lane.busy += Math.max(0, end - Math.max(data.start[i], open));
        open = Math.max(open, end);
      });
    }
    data.sums.key.forEach((_, i) => {
      const part = within(data.sumStart(i), data.slice, from, to) / data.slice, lane = lanes[data.sumLane(i)];
      if (!part) return;
      lane.summed += Math.round(data.sums.count[i] * part);
      if (lane.side === "device") lane.busy += data.sums.busy[i] * part;
    });
    return lanes.map((lane) => ({ ...lane, busy: Math.min(lane.busy, to - from) }));
  }

  // Idle time of a device by cause, the longest first: [[words, ns]].
  function idleWithin(data, gap, from, to) {
    const causes = new Map();
    for (let i = above(gap.end, from, 0, gap.end.length); i < gap.start.length && gap.start[i] < to; i += 1) {
      const words = data.causes[gap.cause[i]] ?? null;
      causes.set(words, (causes.get(words) ?? 0) + within(gap.start[i], gap.dur[i], from, to));
    }
    return [...causes].sort((a, b) => b[1] - a[1]);
  }

  // By code of a name: ns and number of executions as a kernel, ns that it launched on devices, ns and calls as an op.
  function namesWithin(data, from, to) {
    const size = data.names.length + 1;
    const found = { kernel: new Float64Array(size), executions: new Uint32Array(size), launched: new Float64Array(size),
      host: new Float64Array(size), calls: new Uint32Array(size) };
    const isOp = data.kinds.map((kind) => kind === "host"), isCopy = data.kinds.map((kind) => kind === "copy");
    for (const row of data.rows) {
      const onDevice = data.lanes[row.lane].side === "device";
      eachEvent(data, row, from, to, (i, part) => {
        const code = data.name[i];
        if (onDevice) {
          found.launched[data.by[i]] += part;
          if (isCopy[data.kind[i]]) return;
          found.kernel[code] += part;
          found.executions[code] += 1;
        } else if (isOp[data.kind[i]]) {
          found.host[code] += part;
          found.calls[code] += 1;
        }
      });
    }
    return found;
  }

  // By row of the tables from 1 (0: in none): of ops by shape, and of modules, each with the device time of those inside it.
  function rowsWithin(data, from, to) {
    const { calls, inside } = data, columns = (rows) => Array.from({ length: 3 }, () => new Float64Array(rows + 1));
    const [launched, host, count] = columns(data.shapes), [device, ran, called] = columns(inside.length);
    const isOp = data.kinds.map((kind) => kind === "host");
    for (const row of data.rows) {
      const onDevice = data.lanes[row.lane].side === "device";
      eachEvent(data, row, from, to, (i, part) => {
        if (onDevice) {
          launched[data.shape[i]] += part;
          device[data.module[i]] += part;
        } else if (isOp[data.kind[i]]) {
          host[data.shape[i]] += part;
          count[data.shape[i]] += 1;
        }
      });
    }
    for (let i = 0; i < calls.start.length && calls.start[i] < to; i += 1) {
      const part = within(calls.start[i], calls.dur[i], from, to);
      if (part > 0) { ran[calls.row[i]] += part; called[calls.row[i]] += 1; }
    }
    for (let row = inside.length; row > 0; row -= 1) if (inside[row - 1]) device[inside[row - 1]] += device[row]; // parents come first
    return { shapes: { launched, host, count }, modules: { device, host: ran, count: called } };
  }

  // Who holds memory at the moment of a range at which most blocks that were seen to be allocated are held: the moment, and
  // bytes and blocks by row of the table (0: in none).
  function heldWithin({ first, last, start, dur, bytes, row }, from, to) {
    const here = [];
    for (let i = first; i < last && start[i] < to; i += 1) if (start[i] + dur[i] > from) here.push(i);
    const steps = here.flatMap((i) => [[Math.max(start[i], from), bytes[i]], [start[i] + dur[i], -bytes[i]]]);
    steps.sort((a, b) => a[0] - b[0] || a[1] - b[1]); // what ends at a moment makes room for what begins then
    let held = 0, most = -1, at = from;
    for (const [t, change] of steps) {
      held += change;
      if (t < to && held > most) { most = held; at = t; }
    }
    const found = { at, bytes: [], blocks: [] };
    for (const i of here) {
      if (start[i] > at || start[i] + dur[i] <= at) continue;
      const owner = row[i - first];
      found.bytes[owner] = (found.bytes[owner] ?? 0) + bytes[i];
      found.blocks[owner] = (found.blocks[owner] ?? 0) + 1;
    }
    return found;
  }

  Object.assign(window.traceReport, { within, lanesWithin, idleWithin, namesWithin, rowsWithin, heldWithin });
})();
