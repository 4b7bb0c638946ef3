// Theme, copy buttons, the JSON download and the section list.
"use strict";

(() => {
  const root = document.documentElement;

  // A page inside another one follows the theme of that one, and has no button of its own.
  const themeButton = document.getElementById("theme");
  if (themeButton) offerThemes(themeButton);

  function offerThemes(button) {
    const labels = { auto: say("Theme: auto"), light: say("Theme: light"), dark: say("Theme: dark") };
    const themes = Object.keys(labels);
    const remember = (theme) => {
      try { localStorage.setItem("traceanalyzer-theme", theme); } catch { /* file:// may have no storage */ }
    };
    const recall = () => {
      try { return localStorage.getItem("traceanalyzer-theme") ?? "auto"; } catch { return "auto"; }
    };
    const apply = (theme) => {
      if (theme === "auto") delete root.dataset.theme; else root.dataset.theme = theme;
      button.textContent = labels[theme];
      document.dispatchEvent(new Event("themechange"));
    };
    button.hidden = false;
    button.addEventListener("click", () => {
      const next = themes[(themes.indexOf(root.dataset.theme ?? "auto") + 1) % themes.length];
      remember(next);
      apply(next);
    });
    apply(themes.includes(recall()) ? recall() : "auto");
  }

  async function copy(text, button) {
    const label = button.textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = say("Copied");
    } catch { // no permission, or not a secure context: select it so that Ctrl+C works
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      button.textContent = document.execCommand("copy") ? say("Copied") : say("Could not copy");
      area.remove();
    }
    setTimeout(() => { button.textContent = label; }, 1500);
  }
  window.traceReport.copy = copy;
  for (const block of document.querySelectorAll("div.code")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = say("Copy");
    button.addEventListener("click", () => copy(block.querySelector("code").textContent, button));
    block.append(button);
  }

  const download = document.getElementById("download");
  const packed = document.getElementById("raw-json");
  if (download && "DecompressionStream" in window) download.hidden = false;
  download?.addEventListener("click", async () => {
    const bytes = await window.traceReport.inflate(packed);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([bytes], { type: "application/json" }));
    link.download = packed.dataset.name;
    link.click();
    URL.revokeObjectURL(link.href);
  });

  // What an address leads to is unfolded first: a row that is folded away, a table within a closed part.
  function reveal() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let part = target.closest("details"); part; part = part.parentElement.closest("details")) part.open = true;
    const sheet = window.traceReport.sheets[target.closest("table[data-sheet]")?.dataset.sheet];
    if (!sheet || !target.matches("tr")) return;
    sheet.unfold();
    target.scrollIntoView({ block: "center" });
  }
  window.addEventListener("hashchange", reveal);
  document.querySelectorAll("a.row").forEach((link) => link.addEventListener("click", () => setTimeout(reveal)));
  reveal();

  // The timeline takes its place after the browser went to what the address names: go there again, unless the
  // reader went elsewhere in the meantime.
  let moved = false;
  for (const what of ["wheel", "keydown", "pointerdown"]) {
    window.addEventListener(what, () => { moved = true; }, { once: true, passive: true });
  }
  document.addEventListener("timelineready", () => requestAnimationFrame(() => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target || moved) return;
    target.scrollIntoView({ block: target.matches("tr") ? "center" : "start", behavior: "instant" });
  }));

  const links = new Map([...document.querySelectorAll("nav a")].map((a) => [a.hash.slice(1), a]));
  const inView = new Set();
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) inView[entry.isIntersecting ? "add" : "delete"](entry.target.id);
    const current = [...links.keys()].find((id) => inView.has(id));
    links.forEach((link, id) => link.toggleAttribute("aria-current", id === current));
  }, { rootMargin: "0px 0px -60% 0px" });
  links.forEach((_, id) => watcher.observe(document.getElementById(id)));

  // On paper nothing can be unfolded; long names stay short.
  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("details:not(.long)").forEach((d) => { d.open = true; });
    Object.values(window.traceReport.sheets).forEach((sheet) => sheet.unfold());
  });
})();
