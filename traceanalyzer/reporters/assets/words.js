// The sentences of the scripts in the page's language: what the page holds in `#words`, or the English given here.
"use strict";

(() => {
  const words = JSON.parse(document.getElementById("words")?.textContent ?? "{}");

  // say("{count} found", { count }): the literal template is the catalogue's key, as in the product's Python.
  window.say = (template, values = {}) => (words[template] ?? template).replace(/\{(\w+)\}/g, (_, name) => values[name]);
})();
