// Draws the figures in the page's colours when they come near, and follows light, dark and print.

const FONT_PX = 12;
const PRINT_WIDTH = 680;
const NEAR = "500px"; // below the screen
const CONFIG = {
  displaylogo: false, responsive: false,
  modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
};

let figures = {};
let study = { variants: [], runs: [], rounds: {} };
let shown = null; // the variants that the filters leave; null: all
let watcher = null;
const drawn = new Set();

// Plotly comes after the rest of the page: what is asked for before is drawn by `watch`.
const canDraw = () => "Plotly" in window;
const isShown = (variant) => shown === null || shown.has(variant);
const cssColor = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Plotly reads text as markup: text from data goes through this.
const literal = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

// "color": "--series-1" becomes the colour that this name has in the page's current scheme.
function colored(value, key) {
  if (Array.isArray(value)) return typeof value[0] === "object" ? value.map((item) => colored(item, key)) : value;
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, colored(v, k)]));
  }
  return /color$/.test(key) && String(value).startsWith("--") ? cssColor(value) : value;
}

const variantOf = (figure, id) => (figure.of === "runs" ? study.runs[id].variant : id);
const nameOf = (figure, id) => (figure.of === "runs" ? study.runs[id].label : study.variants[id].label);

// A trace with `customdata` is of variants or runs: it gets their names, without those filtered out.
function filled(figure, trace) {
  if (!figure.of || !trace.customdata) return trace;
  const y = shown === null ? trace.y
    : trace.y.map((value, i) => (isShown(variantOf(figure, trace.customdata[i])) ? value : null));
  const text = trace.text ?? trace.customdata.map((id) => literal(nameOf(figure, id)));
  return { ...trace, y, text };
}

function axis(given) {
  return {
    nticks: 7, ...given, color: cssColor("--quiet"), gridcolor: cssColor("--line"), zeroline: false,
    linecolor: cssColor("--line"), automargin: true,
    title: { ...given.title, standoff: 10, font: { size: 13 } },
  };
}

function layoutOf(figure, element, print) {
  const given = structuredClone(figure.layout); // plotly writes a zoom into what it is given
  const on = layersOn(figure);
  const range = (name, own) => (on.length
    ? [Math.min(own[0], ...on.map((l) => l[name][0])), Math.max(own[1], ...on.map((l) => l[name][1]))] : own);
  const xaxis = on.length ? { ...given.xaxis, range: range("xrange", given.xaxis.range) } : given.xaxis;
  const yaxis = on.length ? { ...given.yaxis, range: range("yrange", given.yaxis.range) } : given.yaxis;
  return {
    ...colored(given), xaxis: axis(xaxis), yaxis: axis(yaxis),
    width: print ? Math.min(PRINT_WIDTH, element.clientWidth) : undefined,
    height: print ? element.clientHeight : undefined, autosize: !print,
    margin: { l: given.yaxis.visible === false ? 20 : 56, r: 20, t: 12, b: given.xaxis.side === "top" ? 16 : 48 },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: FONT_PX, color: cssColor("--ink") },
    hoverlabel: {
      align: "left", bgcolor: cssColor("--card"), bordercolor: cssColor("--quiet"),
      font: { color: cssColor("--ink"), size: FONT_PX },
    },
    hovermode: "closest",
    // A zoom outlasts what filters do, not a layer that has to come into sight.
    uirevision: figure.of && JSON.stringify(on.map((layer) => layer.name)),
    dragmode: matchMedia("(pointer: coarse)").matches || innerWidth < 520 ? false : "zoom",
  };
}

const layersOn = (figure) => Object.values(figure.layers ?? {}).filter((layer) => layer.on);

function place(figure, element) {
  if (figure.labels) Plotly.relayout(element, { annotations: placed(figure, element) });
}

function draw(name, print = false) {
  const [figure, element] = [figures[name], document.getElementById(name)];
  if (!figure || !element || !canDraw()) return;
  const traces = [...figure.data, ...layersOn(figure).flatMap((layer) => layer.data)];
  Plotly.react(element, traces.map((trace) => colored(filled(figure, trace))), layoutOf(figure, element, print), CONFIG);
  place(figure, element);
  if (drawn.has(element)) return;
  drawn.add(element);
  element.on("plotly_click", ({ points: [point] }) => {
    if (figures[name].of && point.customdata !== undefined) inspect(variantOf(figures[name], point.customdata), true);
  });
  if (figure.labels) {
    element.on("plotly_relayout", (change) => {
      if (!("annotations" in change)) place(figures[name], element);
    });
  }
}

const isDrawn = (name) => drawn.has(document.getElementById(name));

function redraw(print = false) {
  for (const name of Object.keys(figures)) {
    if (print || isDrawn(name)) draw(name, print);
  }
}

// Draws anew what is of variants or runs, some of which a filter may leave out.
function redrawFiltered() {
  for (const [name, figure] of Object.entries(figures)) {
    if (figure.of && isDrawn(name)) draw(name);
  }
}

// A figure is drawn when the reader comes near: the page opens at once however many there are.
function watch() {
  watcher?.disconnect();
  watcher = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      watcher.unobserve(target);
      draw(target.id);
    }
    reached("drawn"); // everything in sight is there from now on
  }, { rootMargin: NEAR });
  for (const name of Object.keys(figures)) {
    const element = document.getElementById(name);
    if (element) watcher.observe(element);
  }
}

function bindFigures() {
  for (const box of document.querySelectorAll("[data-layer]")) {
    box.addEventListener("change", () => {
      figures.tradeoff.layers[box.dataset.layer].on = box.checked;
      document.getElementById("paper-note")?.toggleAttribute("data-on", !!figures.tradeoff.layers.paper?.on);
      draw("tradeoff");
    });
  }
  const chosen = document.getElementById("profiled");
  const showProfile = () => {
    const one = figures.operators.choices[Number(chosen.value)];
    figures.operators.data = one.data;
    document.getElementById("evidence").replaceChildren(...one.evidence.map((line) => element("p", line)));
    if (isDrawn("operators")) draw("operators");
  };
  if (chosen) {
    chosen.addEventListener("change", showProfile);
    showProfile();
  }
}

function element(name, text, attributes = {}) {
  const made = Object.assign(document.createElement(name), attributes);
  if (text !== undefined) made.textContent = text;
  return made;
}
