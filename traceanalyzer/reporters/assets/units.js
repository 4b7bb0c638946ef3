// What all scripts of the page (and of the tab in TensorBoard) share: one place for what they offer each other, and how
// figures are written. Three digits, as on the server (reporters/units.py).
"use strict";

(() => {
  function duration(ns) {
    if (!ns) return "0 s";
    const units = [[1, "ns"], [1e3, "µs"], [1e6, "ms"], [1e9, "s"]];
    let at = 0;
    while (at < 3 && Math.abs(ns) >= units[at + 1][0] - units[at][0] / 2) at += 1;
    if (at === 0) return `${Math.round(ns)} ns`;
    const value = ns / units[at][0], size = Math.abs(value);
    return `${size < 9.995 ? value.toFixed(2) : size < 99.95 ? value.toFixed(1) : Math.round(value).toLocaleString("en")} ${units[at][1]}`;
  }

  function size(bytes) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let value = bytes, at = 0;
    while (value >= 1000 && at < 4) { value /= 1024; at += 1; }
    return `${at && value < 100 ? value.toPrecision(3) : Math.round(value)} ${units[at]}`;
  }

  const share = (part) => `${(100 * part).toFixed(1)} %`;
  const count = (number) => number.toLocaleString("en");

  window.traceReport = { duration, size, share, count };
})();
