"use strict";
// Draws the figures in the page's colours, places the labels, and follows light, dark and print.
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const FONT_PX = 12;
  const PRINT_WIDTH = 680;

  const cssColor = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // "color": "--series-1" becomes the colour that this name has in the page's current scheme.
  function colored(value, key) {
    if (Array.isArray(value)) return value.map((item) => colored(item, key));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, colored(v, k)]));
    }
    return key === "color" && String(value).startsWith("--") ? cssColor(value) : value;
  }

  function axis(given) {
    return {
      ...given, color: cssColor("--quiet"), gridcolor: cssColor("--line"), zeroline: false,
      linecolor: cssColor("--line"), automargin: true, nticks: 7,
      title: { ...given.title, standoff: 10, font: { size: 13 } },
    };
  }

  function layoutOf(figure, element, print) {
    const given = figure.layout;
    return {
      ...given, xaxis: axis(given.xaxis), yaxis: axis(given.yaxis),
      width: print ? Math.min(PRINT_WIDTH, element.clientWidth) : undefined, autosize: !print,
      margin: { l: 56, r: 20, t: 12, b: 48 },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: FONT_PX, color: cssColor("--ink") },
      hoverlabel: {
        align: "left", bgcolor: cssColor("--card"), bordercolor: cssColor("--quiet"),
        font: { color: cssColor("--ink"), size: FONT_PX },
      },
      hovermode: "closest",
      dragmode: matchMedia("(pointer: coarse)").matches || innerWidth < 520 ? false : "zoom",
    };
  }

  const CONFIG = {
    displaylogo: false, responsive: false,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
  };

  // Boxes are [left, top, right, bottom] in pixels of the plotting area.
  const overlap = (a, b) =>
    Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0])) *
    Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));

  function textWidth(markup) {
    const text = new DOMParser().parseFromString(markup, "text/html").body.textContent;
    const pen = document.createElement("canvas").getContext("2d");
    pen.font = `${FONT_PX}px ${getComputedStyle(document.body).fontFamily}`;
    return pen.measureText(text).width;
  }

  function obstaclesOf(label, x, y) {
    const r = label.px / 2 + 2;
    return [
      [x(label.x[1]) - r, y(label.y[1]) - r, x(label.x[1]) + r, y(label.y[1]) + r],
      [x(label.x[0]), y(label.y[1]) - 2, x(label.x[2]), y(label.y[1]) + 2],
      [x(label.x[1]) - 2, y(label.y[2]), x(label.x[1]) + 2, y(label.y[0])],
    ];
  }

  function stairsOf(trace, x, y) {
    const boxes = [];
    for (let i = 1; i < trace.x.length; i++) {
      const [x0, x1] = [x(trace.x[i - 1]), x(trace.x[i])];
      const [y0, y1] = [y(trace.y[i - 1]), y(trace.y[i])];
      boxes.push([Math.min(x0, x1), y0 - 2, Math.max(x0, x1), y0 + 2]);
      boxes.push([x1 - 2, Math.min(y0, y1), x1 + 2, Math.max(y0, y1)]);
    }
    return boxes;
  }

  // Offsets to try, near before far, beside before above.
  function candidates(label, width) {
    const found = [];
    for (const gap of label.front ? [6, 18, 34, 52, 74, 100] : [6, 18, 30]) {
      const side = label.px / 2 + gap + width / 2;
      const up = label.px / 2 + gap + FONT_PX / 2;
      found.push([side, 0], [-side, 0], [0, -up], [0, up], [side, -up], [-side, -up], [side, up], [-side, up]);
    }
    return found;
  }

  function boxAt(label, [dx, dy], width, x, y) {
    const [cx, cy] = [x(label.x[1]) + dx, y(label.y[1]) + dy];
    return [cx - width / 2 - 3, cy - FONT_PX / 2 - 3, cx + width / 2 + 3, cy + FONT_PX / 2 + 3];
  }

  function best(label, width, taken, area, x, y) {
    let chosen = null;
    for (const offset of candidates(label, width)) {
      const box = boxAt(label, offset, width, x, y);
      const inside = overlap(box, area);
      const outside = (box[2] - box[0]) * (box[3] - box[1]) - inside;
      const cost = outside * 4 + taken.reduce((sum, other) => sum + overlap(box, other), 0);
      if (!chosen || cost < chosen.cost - 0.5) chosen = { cost, offset, box };
      if (cost < 0.5) break;
    }
    return chosen;
  }

  function annotation(label, { offset: [dx, dy] }) {
    const far = Math.hypot(dx, dy) > label.px / 2 + 26 && Math.abs(dy) > 14;
    return {
      x: label.x[1], y: label.y[1], text: label.text, ax: dx, ay: dy, showarrow: true,
      arrowhead: 0, arrowwidth: 1, standoff: label.px / 2 + 2,
      arrowcolor: far ? cssColor("--quiet") : "rgba(0,0,0,0)",
      font: { color: cssColor("--ink"), size: FONT_PX }, borderpad: 1,
    };
  }

  function placed(figure, element) {
    const { xaxis, yaxis, _size: size } = element._fullLayout;
    const x = (value) => ((value - xaxis.range[0]) / (xaxis.range[1] - xaxis.range[0])) * size.w;
    const y = (value) => ((yaxis.range[1] - value) / (yaxis.range[1] - yaxis.range[0])) * size.h;
    const area = [0, 0, size.w, size.h];
    const visible = figure.labels.filter(
      (l) => x(l.x[1]) >= 0 && x(l.x[1]) <= size.w && y(l.y[1]) >= 0 && y(l.y[1]) <= size.h);
    const taken = visible.flatMap((label) => obstaclesOf(label, x, y));
    figure.data.filter((t) => t.mode === "lines").forEach((t) => taken.push(...stairsOf(t, x, y)));
    const notes = [];
    for (const label of visible) {
      const width = textWidth(label.text);
      const choice = best(label, width, taken, area, x, y);
      if (!label.front && choice.cost > 0.02 * width * FONT_PX) continue; // hover still names it
      taken.push(choice.box);
      notes.push(annotation(label, choice));
    }
    return notes;
  }

  function label(figure, element) {
    if (figure.labels) Plotly.relayout(element, { annotations: placed(figure, element) });
  }

  function draw(print) {
    for (const [name, figure] of Object.entries(figures)) {
      const element = document.getElementById(name);
      if (!element) continue;
      Plotly.react(element, colored(figure.data), layoutOf(figure, element, print), CONFIG);
      label(figure, element);
    }
  }

  function followZoom() {
    for (const [name, figure] of Object.entries(figures)) {
      const element = document.getElementById(name);
      if (!element || !figure.labels) continue;
      element.on("plotly_relayout", (change) => {
        if (!("annotations" in change)) label(figure, element);
      });
    }
  }

  function print(on) {
    document.documentElement.toggleAttribute("data-print", on);
    draw(on);
  }

  draw(false);
  followZoom();
  let resizing;
  addEventListener("resize", () => {
    clearTimeout(resizing);
    resizing = setTimeout(() => draw(false), 150);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(false));
  addEventListener("beforeprint", () => print(true));
  addEventListener("afterprint", () => print(false));
  document.documentElement.dataset.ready = "yes";
})();
