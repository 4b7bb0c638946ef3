// Figures by Plotly: loaded when the first one is scrolled to, drawn in the colours of the page.
"use strict";

(() => {
  const figures = [...document.querySelectorAll("figure[data-figure]")];
  if (!figures.length) return;
  const source = document.getElementById("plotly");
  const drawn = new Set();
  let loading = null;

  // The page's policy knows the hash of exactly this script; a server hands it out under its own name.
  function load() {
    loading ??= (async () => {
      const script = document.createElement("script");
      if (source.dataset.src) {
        script.src = source.dataset.src;
        const done = new Promise((resolve, reject) => { script.onload = resolve; script.onerror = reject; });
        document.head.append(script);
        await done;
      } else {
        script.textContent = new TextDecoder().decode(await window.traceReport.inflate(source));
        document.head.append(script);
      }
      return window.Plotly;
    })();
    return loading;
  }

  function colours() {
    const style = getComputedStyle(document.documentElement);
    return (name) => style.getPropertyValue(`--${name}`).trim();
  }

  function traceOf(trace, colour) {
    const { colour: name, sizes, dash, pattern, stacked, hover, ...rest } = trace;
    const fill = colour(name);
    const own = { ...rest, hovertemplate: "%{text}<extra></extra>", hoverlabel: { align: "left" } };
    if (dash) return { ...own, line: { color: fill, width: 1, dash } };
    if (stacked) return { ...own, hovertemplate: hover, stackgroup: "all", line: { color: fill, width: 0, shape: "hv" }, fillcolor: fill };
    if (sizes) return { ...own, marker: { color: fill, size: sizes, opacity: 0.72, line: { color: colour("paper"), width: 1 } } };
    const doubled = { shape: pattern, fgcolor: colour(name === "idle" ? "idle-ink" : "pattern-ink"), bgcolor: fill, size: 6, fillmode: "overlay" };
    return { ...own, textposition: "none", marker: { color: fill, ...(pattern ? { pattern: doubled } : {}) } };
  }

  function layoutOf(layout, colour) {
    const axis = (given) => ({ gridcolor: colour("line"), zerolinecolor: colour("line"), linecolor: colour("line-strong"),
      ticks: "outside", tickcolor: colour("line-strong"), automargin: true, exponentformat: "power", ...given });
    return {
      ...layout,
      xaxis: axis(layout.xaxis),
      yaxis: axis(layout.yaxis),
      height: layout.height ?? 400,
      margin: { l: 56, r: 16, t: 8, b: 48 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: 12, color: colour("ink-2") },
      hoverlabel: { bgcolor: colour("paper"), bordercolor: colour("line-strong"), font: { color: colour("ink"), size: 12 } },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
    };
  }

  async function draw(figure) {
    const place = figure.querySelector(".plot");
    const spec = JSON.parse(document.getElementById(`${figure.dataset.figure}-spec`).textContent);
    try {
      const plotly = await load();
      const colour = colours();
      if (!("drawn" in place.dataset)) place.replaceChildren(); // what stood for it
      await plotly.react(place, spec.traces.map((t) => traceOf(t, colour)), layoutOf(spec.layout, colour),
        { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d", "toImage"] });
      place.dataset.drawn = "";
    } catch (error) {
      place.textContent = say("This figure could not be drawn: {error}", { error: error.message });
    }
  }

  const watcher = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (isIntersecting && !drawn.has(target)) {
        drawn.add(target);
        draw(target);
      }
    }
  }, { rootMargin: "200px" });
  // What has a picture from the server can wait for the reader: opening the page does not run the library for it.
  const pictured = figures.filter((figure) => figure.querySelector(".plot").firstElementChild);
  figures.forEach((figure) => { if (!pictured.includes(figure)) watcher.observe(figure); });
  pictured.forEach((figure) => figure.addEventListener("pointerenter", () => watcher.observe(figure), { once: true }));
  window.addEventListener("scroll", () => pictured.forEach((figure) => watcher.observe(figure)), { once: true });
  document.addEventListener("themechange", () => drawn.forEach(draw));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn.forEach(draw));
})();
