// The sentences of the scripts in the page's language: what the page holds in `#words`, or the English given here.
"use strict";

(() => {
  const words = JSON.parse(document.getElementById("words")?.textContent ?? "{}");

  const PLACE = /\{(\w+)(?::([^{}|]*)\|([^{}|]*))?\}/g;

  // The literal template is the catalogue's key, and `{count:row|rows}` the word for one or for many, as in text.py.
  window.say = (template, values = {}) => (words[template] ?? template).replace(PLACE,
    (_, name, one, many) => (many === undefined ? values[name] : String(values[name]) === "1" ? one : many));
})();
