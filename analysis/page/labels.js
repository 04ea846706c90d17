// Places the scatter's labels beside their points, so that none covers another.

const PULL = 3; // square pixels covered that a label may save by standing a pixel farther away
const ON_WORDS = 10; // to cover a label is so much worse than to cover a bar

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

function best(label, width, { marks, words }, area, x, y) {
  let chosen = null;
  const over = (box, others) => others.reduce((sum, other) => sum + overlap(box, other), 0);
  for (const offset of candidates(label, width)) {
    const box = boxAt(label, offset, width, x, y);
    const outside = (box[2] - box[0]) * (box[3] - box[1]) - overlap(box, area);
    const covered = outside * 4 + over(box, marks) + ON_WORDS * over(box, words);
    const away = Math.max(Math.abs(offset[0]) - width / 2, Math.abs(offset[1]) - FONT_PX / 2);
    const cost = covered + PULL * away;
    if (!chosen || cost < chosen.cost) chosen = { cost, covered, offset, box };
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
    (l) => l.variants.some(isShown) && x(l.x[1]) >= 0 && x(l.x[1]) <= size.w && y(l.y[1]) >= 0 && y(l.y[1]) <= size.h);
  const taken = { marks: visible.flatMap((label) => obstaclesOf(label, x, y)), words: [] };
  figure.data.filter((t) => t.name === "Pareto front").forEach((t) => taken.marks.push(...stairsOf(t, x, y)));
  const notes = [];
  for (const label of visible) {
    const width = textWidth(label.text);
    const choice = best(label, width, taken, area, x, y);
    if (!label.front && choice.covered > 0.02 * width * FONT_PX) continue; // hover still names it
    taken.words.push(choice.box);
    notes.push(annotation(label, choice));
  }
  return notes;
}
