// The tab in TensorBoard: pick a run and a file, see all of them side by side, open the report of one in a frame.

import "./units.js"; // window.traceReport, as in the report

const { size } = window.traceReport;
const here = new URL(".", import.meta.url);
const BUSY_MS = 400, IDLE_MS = 4000; // between two looks at what there is
const EAGER = 6; // newest traces of as many runs are analysed without being asked for
const STATES = ["waiting", "reading", "analyzing"]; // of work that is not done yet
const CHOICE = "traceanalyzer-choice";

let traces = null; // as the server lists them; null before the first answer
let chosen = recall(); // { run, file, base: { run, file } or null } or null for the overview
let compared = null; // how far the comparison with chosen.base is
let shown = ""; // address of the page in the frame
const asked = new Set();
const rows = new Map(); // id → { text, element }
const ui = {};

const idOf = (trace) => JSON.stringify([trace.run, trace.file]);
const isBusy = (trace) => STATES.includes(trace.state);

// TensorBoard's own address may ask for a language (?lang=zh); else it is the browser's, unless that is Chinese in the
// traditional characters, which no catalogue has.
function languageAsked() {
  let asked = null;
  try { asked = new URLSearchParams(window.parent.location.search).get("lang"); } catch { /* a host of another origin */ }
  const traditional = /-(tw|hk|mo|hant)\b/i.test(navigator.language) && !/-hans\b/i.test(navigator.language);
  return (asked ?? (traditional ? "en" : navigator.language)).toLowerCase().startsWith("zh") ? "zh" : "en";
}

const language = languageAsked();
let words = {}; // of the language, by the English given here

const PLACE = /\{(\w+)(?::([^{}|]*)\|([^{}|]*))?\}/g; // {name}, or {name:one|many} as in text.py
const say = (template, values = {}) => (words[template] ?? template).replace(PLACE,
    (_, name, one, many) => (many === undefined ? values[name] : String(values[name]) === "1" ? one : many));
const stateText = (state) => ({ waiting: say("waiting"), reading: say("reading"), analyzing: say("analysing") })[state];

function urlOf(route, trace, more = {}) {
  const url = new URL(route, here);
  url.search = new URLSearchParams({ ...(trace ? { run: trace.run, file: trace.file } : {}), ...more, lang: language });
  return url.href;
}

// Everything that comes from files is set as text.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "on") Object.entries(value).forEach(([type, listener]) => element.addEventListener(type, listener));
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

function recall() {
  try { return JSON.parse(sessionStorage.getItem(CHOICE)); } catch { return null; }
}

function choose(trace, base = null) {
  chosen = trace && { run: trace.run, file: trace.file, base: base && { run: base.run, file: base.file } };
  compared = null;
  try { sessionStorage.setItem(CHOICE, JSON.stringify(chosen)); } catch { /* no storage, no memory */ }
  draw();
}

export async function render() {
  words = await fetch(urlOf("words")).then((answer) => answer.json()).catch(() => ({}));
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  document.title = "Trace Analyzer";
  document.head.append(
    make("meta", { name: "viewport", content: "width=device-width, initial-scale=1" }),
    ...["report.css", "view.css"].map((name) => make("link", { rel: "stylesheet", href: new URL(name, here).href })),
  );
  build();
  followTheme();
  for (;;) {
    await look();
    const busy = traces === null || traces.some(isBusy) || (basis() && (!compared || isBusy(compared)));
    await new Promise((resolve) => { setTimeout(resolve, busy ? BUSY_MS : IDLE_MS); });
  }
}

async function look() {
  try {
    const answer = await fetch(urlOf("traces"));
    if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
    traces = await answer.json();
    ui.lost.hidden = true;
  } catch {
    ui.lost.hidden = false;
    return;
  }
  draw();
  await goOn();
  if (basis()) await askComparison();
}

// The chosen trace first; else the newest of each run, one after the other.
async function goOn() {
  const wanted = current();
  if (wanted) {
    if (wanted.state === "new") await ask(wanted);
  } else if (!chosen && !traces.some(isBusy)) {
    const next = eager().find((trace) => trace.state === "new");
    if (next) await ask(next);
  }
}

function eager() {
  const newest = new Map();
  for (const trace of traces) {
    const other = newest.get(trace.run);
    if (!other || other.modified_ms < trace.modified_ms) newest.set(trace.run, trace);
  }
  const first = [...newest.values()].sort((a, b) => b.modified_ms - a.modified_ms).slice(0, EAGER);
  return [...first, ...traces.filter((trace) => asked.has(idOf(trace)))];
}

async function ask(trace) {
  const answer = await fetch(urlOf("analyze", trace)).catch(() => null);
  if (!answer?.ok) return;
  const row = await answer.json();
  traces = traces.map((other) => (idOf(other) === idOf(row) ? row : other));
  draw();
}

async function askComparison() {
  const pair = chosen;
  if (compared?.state === "done" || compared?.state === "failed") return;
  const answer = await fetch(comparisonUrl("analyze-diff")).catch(() => null);
  if (!answer?.ok || pair !== chosen) return;
  compared = await answer.json();
  draw();
}

function comparisonUrl(route) {
  const after = current(), base = basis();
  return urlOf(route, after, { base_run: base.run, base_file: base.file, version: `${after.version}-${base.version}` });
}

const same = (one, other) => one.run === other.run && one.file === other.file;
// What the chosen trace is compared with, as listed now.
const basis = () => (chosen?.base && current() ? traces.find((trace) => same(trace, chosen.base)) : undefined);
const current = () => (chosen && traces ? traces.find((trace) => idOf(trace) === idOf(chosen)) : undefined);

// The frame around the report
function build() {
  ui.all = make("button", { type: "button", on: { click: () => choose(null) } }, say("All traces"));
  ui.run = make("select", { id: "run", on: { change: () => choose(newestOf(ui.run.value)) } });
  ui.file = make("select", { id: "file", on: { change: () => choose({ run: ui.run.value, file: ui.file.value }) } });
  ui.base = make("select", { id: "base", on: { change: () => choose(current(), JSON.parse(ui.base.value)) } });
  ui.count = make("span", { class: "muted", id: "count", role: "status" });
  ui.lost = make("span", { class: "lost", role: "alert", hidden: "" }, say("TensorBoard does not answer"));
  ui.overview = make("main", { id: "overview" });
  ui.message = make("div", { id: "message", role: "status", hidden: "" });
  ui.frame = make("iframe", { id: "report", title: say("Report"), hidden: "", on: { load: () => frameLoaded() } });
  document.body.className = "view";
  document.body.append(
    make("header", { class: "view-bar" }, ui.all, make("label", {}, say("Run"), " ", ui.run), make("label", {}, say("File"), " ", ui.file),
      make("label", {}, say("Compare with"), " ", ui.base), ui.count, ui.lost),
    ui.overview, ui.message, ui.frame,
  );
  const heads = [[say("Trace")], [say("Verdict")], [say("Step"), "num"], [say("GPU busy"), "num"], [say("Do first")], [say("Saves per step"), "num"]];
  ui.body = make("tbody");
  ui.table = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": say("All traces") },
    make("table", { class: "overview" },
      make("thead", {}, make("tr", {}, ...heads.map(([text, type]) => make("th", { scope: "col", class: type ?? "" }, text)))),
      ui.body), legend());
  ui.empty = make("p", { class: "absent" });
  ui.everything = make("button", { type: "button", hidden: "", on: { click: askForAll } });
  ui.overview.append(make("h1", {}, say("All traces")), ui.everything, ui.empty, ui.table);
}

const newestOf = (run) => traces.filter((trace) => trace.run === run)
  .reduce((a, b) => (a && a.modified_ms >= b.modified_ms ? a : b), null);

function draw() {
  if (!traces) return;
  const trace = current();
  drawPickers(trace);
  drawOverview();
  ui.all.setAttribute("aria-pressed", String(!chosen));
  ui.overview.hidden = Boolean(chosen);
  const work = chosen?.base ? comparedOr(trace) : trace, ready = work?.state === "done";
  ui.message.hidden = !chosen || ready;
  ui.frame.hidden = !chosen || !ready;
  if (!chosen) return;
  if (ready) drawPage(chosen.base ? comparisonUrl("diff") : urlOf("page", trace, { version: trace.version }));
  else drawMessage(work);
}

// The comparison's progress; undefined when one of the two is no longer there.
function comparedOr(trace) {
  return trace && basis() ? compared ?? { state: "waiting", progress: null } : undefined;
}

function drawPickers(trace) {
  const runs = [...new Set(traces.map((t) => t.run))];
  fill(ui.run, [["", chosen ? "" : say("all runs")], ...runs.map((run) => [run, run])].slice(chosen ? 1 : 0), chosen?.run ?? "");
  const names = chosen ? traces.filter((t) => t.run === chosen.run).map((t) => t.file) : [];
  fill(ui.file, names.map((name) => [name, name]), chosen?.file ?? "");
  ui.file.parentElement.hidden = !chosen;
  const others = traces.filter((other) => trace && !same(other, trace) && other.state !== "failed");
  const places = others.map((other) => [JSON.stringify({ run: other.run, file: other.file }), `${other.run}: ${other.file}`]);
  fill(ui.base, [["null", say("nothing")], ...places], chosen?.base ? JSON.stringify(chosen.base) : "null");
  ui.base.parentElement.hidden = !trace || !others.length;
  ui.run.disabled = !runs.length;
  const working = traces.filter(isBusy).length;
  const many = say("{count} {count:trace|traces}", { count: traces.length });
  const where = say("{traces} in {count} {count:run|runs}", { traces: many, count: runs.length });
  ui.count.textContent = trace ? "" : `${where}${working ? say(", {count} in work", { count: working }) : ""}`;
}

function fill(select, options, value) {
  const text = JSON.stringify(options);
  if (select.dataset.options !== text) {
    select.dataset.options = text;
    select.replaceChildren(...options.map(([key, label]) => make("option", { value: key }, label)));
  }
  select.value = value;
}

const unasked = () => traces.filter((trace) => trace.state === "new" && !asked.has(idOf(trace)));

// They are taken one after the other, see goOn().
function askForAll() {
  unasked().forEach((trace) => asked.add(idOf(trace)));
  drawOverview();
}

// The overview
function drawOverview() {
  const { length } = unasked();
  ui.everything.hidden = length < 2;
  ui.everything.textContent = say("Analyse all {count}", { count: length });
  ui.table.hidden = !traces.length;
  ui.empty.hidden = Boolean(traces.length);
  ui.empty.textContent = say("No trace below the log directory yet. It is looked for all the time: those that torch.profiler writes (tensorboard_trace_handler, export_chrome_trace) appear here.");
  const left = new Set(rows.keys());
  for (const trace of traces) {
    const id = idOf(trace), text = JSON.stringify(trace);
    left.delete(id);
    const before = rows.get(id);
    if (before?.text === text) continue;
    const element = rowOf(trace);
    if (before) before.element.replaceWith(element);
    rows.set(id, { text, element });
  }
  left.forEach((id) => { rows.get(id).element.remove(); rows.delete(id); });
  traces.forEach((trace, i) => {
    const { element } = rows.get(idOf(trace));
    if (ui.body.rows[i] !== element) ui.body.insertBefore(element, ui.body.rows[i] ?? null);
  });
}

function rowOf(trace) {
  const open = make("button", { type: "button", class: "open", on: { click: () => choose(trace) } }, trace.file);
  const written = new Date(trace.modified_ms).toLocaleString(language === "zh" ? "zh-CN" : undefined, { dateStyle: "medium", timeStyle: "short" });
  const head = make("th", { scope: "row" }, make("span", { class: "run" }, trace.run), open,
    make("span", { class: "muted" }, `${size(trace.bytes)}, ${written}`));
  const { summary } = trace;
  if (!summary) return make("tr", {}, head, make("td", { colspan: "5" }, stateOf(trace)));
  const verdict = make("td", { class: "verdict" }, summary.verdict, partsBar(summary.parts),
    make("span", { class: "muted" }, summary.simulated ? say("simulated {device}", { device: summary.device }) : summary.device));
  const unknown = (text) => (text === "–" ? "num unknown" : "num");
  return make("tr", {}, head, verdict,
    make("td", { class: unknown(summary.step), title: summary.has_steps ? say("median") : say("no steps marked: the whole trace") },
      summary.step, ...(summary.has_steps ? [] : [make("span", { class: "muted" }, say("whole trace"))])),
    make("td", { class: unknown(summary.busy) }, summary.busy),
    make("td", { class: "finding-cell" }, summary.finding || nothingFound(summary)),
    make("td", { class: "num" }, summary.saving));
}

function nothingFound({ not_assessed: blind }) {
  if (!blind) return say("nothing found");
  return say("nothing found; {count} {count:rule|rules} could not look", { count: blind });
}

function stateOf(trace) {
  if (trace.state === "failed") return make("span", { class: "failed" }, make("strong", {}, say("Cannot be read. ")), trace.error);
  if (isBusy(trace)) return progressOf(trace);
  return make("button", { type: "button", on: { click: () => { asked.add(idOf(trace)); ask(trace); } } }, say("Analyse"));
}

function progressOf(trace) {
  const known = trace.state === "reading" && trace.progress !== null;
  const bar = make("progress", { max: "1", "aria-label": stateText(trace.state) });
  if (known) bar.value = trace.progress;
  const share = known ? ` ${Math.floor(trace.progress * 100)} %` : "";
  return make("span", { class: "working" }, bar, ` ${stateText(trace.state)}${share}`);
}

function svg(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
  return element;
}

function legend() {
  const parts = { compute: say("compute"), communication: say("exposed communication"), copy: say("exposed copies"), idle: say("idle") };
  return make("p", { class: "legend" }, ...Object.entries(parts).map(([key, label]) => {
    const swatch = svg("svg", { class: "mini swatch", width: "12", height: "12", "aria-hidden": "true" });
    swatch.append(svg("rect", { width: "12", height: "12", class: `cat-${key}` }));
    return make("span", {}, swatch, label);
  }));
}

function partsBar(parts) {
  const words = parts.map((part) => `${part.label} ${part.percent}`).join(", ");
  const bar = svg("svg", { class: "mini", width: "100%", height: "8", role: "img", "aria-label": words });
  const title = svg("title", {});
  title.textContent = words;
  bar.append(title);
  let x = 0;
  for (const part of parts) {
    bar.append(svg("rect", { x: `${x}%`, width: `${part.width}%`, height: "8", class: `cat-${part.key}` }));
    x += part.width;
  }
  return parts.length ? bar : "";
}

// One report
function drawPage(address) {
  if (address === shown) return;
  shown = address;
  ui.frame.style.visibility = "hidden"; // till it has its theme
  ui.frame.contentWindow.location.replace(address); // no entry in the history
}

function frameLoaded() {
  if (!shown) return;
  applyTheme(ui.frame.contentDocument);
  ui.frame.style.visibility = "visible";
}

function drawMessage(trace) {
  const title = make("h1", {}, chosen.base ? `${chosen.base.file} → ${chosen.file}` : chosen.file);
  if (!trace) ui.message.replaceChildren(title, make("p", {}, say("This file is no longer below the log directory.")));
  else if (trace.state === "failed") ui.message.replaceChildren(title, make("p", {}, stateOf(trace)));
  else ui.message.replaceChildren(title, make("p", {}, progressOf(trace)));
}

// TensorBoard's dark mode is a class of its body.
let theme = null;

function followTheme() {
  try {
    const { body } = window.parent.document;
    const read = () => {
      theme = body.classList.contains("dark-mode") ? "dark" : "light";
      applyTheme(document);
      if (ui.frame.contentDocument) applyTheme(ui.frame.contentDocument);
    };
    new MutationObserver(read).observe(body, { attributes: true, attributeFilter: ["class"] });
    read();
  } catch { /* a host of another origin: the system's theme it is */ }
}

function applyTheme(target) {
  if (!theme) return;
  target.documentElement.dataset.theme = theme;
  target.dispatchEvent(new Event("themechange"));
}
