// Evidence on the timeline: every place that a finding names has a flag on the axis, and a link leads there and back.
// A link is `a.at` within the finding: { data-start and data-duration in ns of the trace, data-lane where it has one }.
"use strict";

(() => {
  const { duration, above } = window.traceReport;
  const NEAR = 6, FLAG = 5, FOOT = 41, LEAST = 1000; // px, px, px, and ns that are shown of an instant

  class Marks {
    constructor(timeline) {
      this.timeline = timeline;
      this.current = null;
      this.all = [...document.querySelectorAll("a.at")].map((link) => {
        const finding = link.closest(".finding");
        const mark = { start: Number(link.dataset.start) - timeline.data.origin, dur: Number(link.dataset.duration), lane: link.dataset.lane,
          code: finding?.querySelector(".code-link")?.textContent ?? "", title: finding?.querySelector("h3")?.textContent ?? "", finding };
        link.addEventListener("click", () => this.show(mark));
        return mark;
      });
      timeline.axis.addEventListener("pointermove", (event) => this.hover(event));
      timeline.axis.addEventListener("pointerleave", () => timeline.hover(null));
      timeline.axis.addEventListener("click", (event) => {
        const mark = this.near(event.offsetX);
        if (mark) this.show(mark);
        mark?.finding?.scrollIntoView({ block: "start" });
      });
      document.querySelectorAll("a.search").forEach((link) => link.addEventListener("click", () => timeline.searchFor(link.dataset.name)));
      timeline.layers.push(this);
    }

    show(mark) {
      this.current = mark;
      const track = this.trackOf(mark);
      this.timeline.showAround({ ...mark, dur: Math.max(mark.dur, LEAST), y: track.y, h: track.h });
      this.timeline.select({ ...mark, y: track.y ?? 0, h: track.h ?? 0, title: `${mark.code} ${mark.title}`.trim(),
        lines: [say("{duration} from {start}", { duration: duration(mark.dur), start: duration(mark.start) })] });
    }

    // The row of the lane with exactly that event; else where the lane begins.
    trackOf({ start, dur, lane }) {
      const { data } = this.timeline;
      const holds = ({ row }) => {
        for (let i = above(data.start, start - 1, row.first, row.last); i < row.last && data.start[i] === start; i += 1) {
          if (data.dur[i] === dur) return true;
        }
        return false;
      };
      const rows = data.tracks.filter((t) => t.type === "row" && data.lanes[t.row.lane].label === lane);
      return data.tracks.find((t) => t.gap?.of === lane) ?? rows.find(holds) ?? rows[0] ?? {};
    }

    near(x) {
      const { t0, scale } = this.timeline.view;
      const away = (mark) => Math.max((mark.start - t0) * scale - x, x - (mark.start + mark.dur - t0) * scale, 0);
      return this.all.filter((mark) => mark.finding && away(mark) <= NEAR).sort((a, b) => away(a) - away(b) || a.dur - b.dur)[0];
    }

    hover(event) {
      const mark = this.near(event.offsetX);
      this.timeline.axis.classList.toggle("linked", Boolean(mark));
      this.timeline.hover(mark ? { title: mark.code, lines: [mark.title] } : null, event.offsetX, event.offsetY);
    }

    draw({ t0, width, scale, top, bottom }, pen, axis) {
      const { colour } = this.timeline.painter;
      axis.fillStyle = colour.accent;
      for (const mark of this.all) {
        const x = (mark.start - t0) * scale, w = Math.max(mark.dur * scale, 2);
        if (!mark.finding || x > width || x + w < 0) continue;
        axis.fillRect(x, FOOT - 2, w, 2);
        axis.beginPath();
        axis.moveTo(x, FOOT - 1);
        axis.lineTo(x, FOOT - FLAG * 1.6);
        axis.lineTo(x + FLAG, FOOT - FLAG * 0.8);
        axis.fill();
      }
      if (!this.current) return;
      const x = (this.current.start - t0) * scale, w = Math.max(this.current.dur * scale, 1);
      pen.fillStyle = colour.accent;
      pen.globalAlpha = 0.1;
      pen.fillRect(x, top, w, bottom - top);
      pen.globalAlpha = 1;
      for (const edge of [x, x + w - 1]) pen.fillRect(Math.round(edge), top, 1, bottom - top);
    }

    key(event) {
      if (event.key === "Escape") this.current = null;
      return null;
    }
  }

  document.addEventListener("timelineready", () => { window.traceReport.marks = new Marks(window.traceReport.timeline); });
})();
