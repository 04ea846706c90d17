// Makes the page usable first (table, filters, inspector); then fetches plotly, and draws.

const PAINT_MS = 1000; // a tab in the background is never painted

// Text that the file holds as gzip in base64: the whole is a third as large.
async function unpacked(id) {
  const text = atob(document.getElementById(id).textContent);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

// For who measures, and for the style sheet: how far the page is, and when it was.
function reached(stage) {
  if (!document.documentElement.dataset[stage]) performance.mark(stage);
  document.documentElement.dataset[stage] = "yes";
}

const painted = () => new Promise((done) => {
  requestAnimationFrame(() => setTimeout(done));
  setTimeout(done, PAINT_MS);
});

// Reads the page's data and binds what needs no plotly; figures follow where plotly is there.
async function start() {
  [figures, study] = (await Promise.all([unpacked("figures"), unpacked("study")])).map((text) => JSON.parse(text));
  chosenVariant = null;
  drawn.clear();
  bindFigures();
  bindTable();
  bindInspector();
  applyFilters();
  reached("usable");
  if (canDraw()) watch();
}

function print(on) {
  document.documentElement.toggleAttribute("data-print", on);
  redraw(on);
}

function bindWindow() {
  let resizing;
  addEventListener("resize", () => {
    clearTimeout(resizing);
    resizing = setTimeout(redraw, 150);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw());
  addEventListener("beforeprint", () => print(true));
  addEventListener("afterprint", () => print(false));
}

async function drawFigures() {
  // Reading plotly holds the page up for a second: what can be read stands there before.
  await painted();
  // The policy names the hash of this text: another one would not run.
  document.head.append(element("script", await unpacked("plotly")));
  bindWindow();
  watch();
}

start().then(drawFigures).then(() => {
  if (tag) ask();
  reached("ready");
}).catch((error) => {
  document.querySelector("main").prepend(element("p", `No figures: this browser cannot draw them (${error}).`));
});
