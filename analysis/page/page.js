// Unpacks plotly and the page's data, binds everything, and draws what is in sight.

// Text that the file holds as gzip in base64: the whole is a third as large.
async function unpacked(id) {
  const text = atob(document.getElementById(id).textContent);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

async function start() {
  [figures, study] = (await Promise.all([unpacked("figures"), unpacked("study")])).map((text) => JSON.parse(text));
  chosenVariant = null;
  drawn.clear();
  bindFigures();
  bindTable();
  bindInspector();
  applyFilters();
  watch();
}

function print(on) {
  document.documentElement.toggleAttribute("data-print", on);
  redraw(on);
}

unpacked("plotly").then(async (source) => {
  // The policy names the hash of this text: another one would not run.
  document.head.append(element("script", source));
  await start();
  let resizing;
  addEventListener("resize", () => {
    clearTimeout(resizing);
    resizing = setTimeout(redraw, 150);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw());
  addEventListener("beforeprint", () => print(true));
  addEventListener("afterprint", () => print(false));
  if (tag) ask();
  document.documentElement.dataset.ready = "yes";
}).catch((error) => {
  document.querySelector("main").prepend(element("p", `No figures: this browser cannot draw them (${error}).`));
});
