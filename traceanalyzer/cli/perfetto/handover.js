// Perfetto's UI takes a trace from a page that opened it: PING until it answers PONG, then the bytes.
// See "Deep linking to the Perfetto UI" in Perfetto's documentation.
"use strict";

const PERFETTO = "https://ui.perfetto.dev";
const PING_MS = 100;
const status = document.getElementById("status");
const button = document.getElementById("open");

async function read(what) {
  const answer = await fetch(what);
  if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
  return answer;
}

const name = read("name").then((answer) => answer.text());
const trace = read("trace").then((answer) => answer.arrayBuffer());

function answered(perfetto) {
  return new Promise((resolve) => {
    const timer = setInterval(() => perfetto.postMessage("PING", PERFETTO), PING_MS);
    window.addEventListener("message", function heard(event) {
      if (event.source !== perfetto || event.origin !== PERFETTO || event.data !== "PONG") return;
      clearInterval(timer);
      window.removeEventListener("message", heard);
      resolve();
    });
  });
}

async function handOver() {
  const perfetto = window.open(PERFETTO); // at once: a browser allows it only right after a click
  if (!perfetto) {
    status.textContent = "The browser did not let this page open another one by itself.";
    return;
  }
  try {
    status.textContent = "Waiting for Perfetto…";
    const [title, buffer] = await Promise.all([name, trace, answered(perfetto)]);
    perfetto.postMessage({ perfetto: { buffer, title, fileName: title } }, PERFETTO);
    status.textContent = "Perfetto has the trace.";
  } catch (error) {
    status.textContent = `The trace could not be read: ${error.message}. Does trace-analyze still run?`;
  }
}

name.then((title) => { document.getElementById("name").textContent = title; }, () => {});
button.addEventListener("click", handOver);
handOver();
