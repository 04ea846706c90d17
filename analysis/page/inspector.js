// One variant: its curves, its latency by round, and its runs' certificates and configs.

let chosenVariant = null;

const runsOf = (variant) => study.runs.map((run, n) => ({ ...run, n })).filter((run) => run.variant === variant);

// The curves of the chosen runs, from the figure of all: a trace a run.
function chosenCurves(runs) {
  const source = figures.scores;
  if (!source) return null;
  const data = runs.flatMap((run, n) => source.data.flatMap((trace) => {
    const at = trace.customdata.flatMap((id, i) => (id === run.n && trace.y[i] !== null ? [i] : []));
    if (!at.length) return [];
    return [{
      type: "scatter", mode: "lines+markers", x: at.map((i) => trace.x[i]), y: at.map((i) => trace.y[i]),
      line: { color: `--series-${(n % 6) + 1}`, width: 2 }, marker: { size: 5 },
      name: literal(run.label), hovertemplate: "<b>%{fullData.name}</b><br>epoch %{x}: %{y:.2f} %<extra></extra>",
    }];
  }));
  if (!data.length) return null;
  const { yaxis, ...layout } = source.layout;
  return { data, layout: { ...layout, yaxis: { title: yaxis.title } } };
}

function chosenRounds(variant) {
  const one = study.rounds[study.variants[variant].graph];
  if (!one) return null;
  const line = (y, name, color, dash) => ({
    type: "scatter", mode: "lines", x: one.rounds, y, name, line: { color, width: 1.5, dash },
    hovertemplate: `${name}<br>round %{x}: %{y:.4g} ms<extra></extra>`,
  });
  const data = [line(one.network, "this network", "--series-1", "solid")];
  if (one.reference.length) data.push(line(one.reference, "the reference", "--series-2", "dot"));
  const layout = {
    xaxis: { title: { text: "round" } }, yaxis: { title: { text: "ms, that round" }, rangemode: "tozero" },
    showlegend: true, legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
  };
  return { data, layout };
}

function runWords(run) {
  const source = document.getElementById(`run-${run.n}`);
  const copy = element("details", undefined, { open: run.first });
  copy.append(...[...source.childNodes].map((node) => node.cloneNode(true)));
  return copy;
}

function wordsOf(variant) {
  const one = study.variants[variant];
  const rounds = study.rounds[one.graph];
  const facts = { state: one.state, ...one.words, "latency samples": rounds ? rounds.words : "none" };
  const list = element("dl", undefined, { className: "facts" });
  for (const [name, value] of Object.entries(facts)) {
    const pair = element("div");
    pair.append(element("dt", name), element("dd", value));
    list.append(pair);
  }
  return list;
}

function show(name, figure) {
  const place = document.getElementById(name);
  place.hidden = figure === null;
  delete figures[name];
  if (figure === null) return;
  figures[name] = figure;
  draw(name);
}

// Show a variant; `go`: and bring the reader there.
function inspect(variant, go) {
  chosenVariant = variant;
  const runs = runsOf(variant).map((run, n) => ({ ...run, first: n === 0 }));
  document.getElementById("chosen-title").textContent = study.variants[variant].label;
  document.getElementById("chosen").value = String(variant);
  document.getElementById("chosen-inside").hidden = false;
  document.getElementById("chosen-words").replaceChildren(wordsOf(variant));
  document.getElementById("chosen-runs").replaceChildren(...runs.map(runWords));
  show("chosen-scores", chosenCurves(runs));
  show("chosen-rounds", chosenRounds(variant));
  for (const row of rowsOf()) row.toggleAttribute("data-chosen", Number(row.dataset.variant) === variant);
  if (!go) return;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  document.getElementById("inspector").scrollIntoView({ block: "start", behavior: calm ? "auto" : "smooth" });
  document.getElementById("chosen-title").focus({ preventScroll: true });
}

function bindInspector() {
  const select = document.getElementById("chosen");
  select.append(element("option", "choose one", { value: "" }));
  study.variants.forEach((one, i) => select.append(element("option", one.label, { value: String(i) })));
  select.addEventListener("change", () => {
    if (select.value !== "") inspect(Number(select.value), false);
  });
}
