// The table: filters that figures follow, headings that sort, and what is shown as CSV.

const rowsOf = () => [...document.querySelectorAll("#variants tbody tr")];

function filterValues() {
  const form = document.getElementById("filters");
  const bound = (name) => form.querySelector(`[data-bound=${name}]`)?.value.trim() ?? "";
  const picks = [...form.querySelectorAll("select[data-key]")].filter((select) => select.value !== "");
  return {
    words: bound("words").toLowerCase().split(/\s+/).filter(Boolean),
    latency: bound("latency") === "" ? Infinity : Number(bound("latency")),
    least: bound("score") === "" ? -Infinity : Number(bound("score")),
    picks: picks.map((select) => [select.dataset.key, valuesOf(select.dataset.key)[Number(select.value)]]),
  };
}

// A key's values in the order of the variants, as the page lists them.
const valuesOf = (key) => [...new Set(study.variants.map((variant) => variant.settings[key]))];

function passes(variant, row, { words, latency, least, picks }) {
  const { latency_ms: ms, [study.score]: score } = variant.columns;
  const text = row.textContent.toLowerCase() + " " + variant.label.toLowerCase();
  return words.every((word) => text.includes(word))
    && picks.every(([key, value]) => variant.settings[key] === value)
    && (latency === Infinity || (ms !== null && ms <= latency))
    && (least === -Infinity || (score !== null && score >= least));
}

function applyFilters() {
  const wanted = filterValues();
  const left = new Set();
  for (const row of rowsOf()) {
    const i = Number(row.dataset.variant);
    const pass = passes(study.variants[i], row, wanted);
    row.hidden = !pass;
    if (pass) left.add(i);
  }
  const all = left.size === study.variants.length;
  shown = all ? null : left;
  document.getElementById("count").textContent = all
    ? `${left.size} variants` : `${left.size} of ${study.variants.length} variants`;
  redrawFiltered();
}

function sortBy(button) {
  const heading = button.closest("th");
  const column = [...heading.parentNode.children].indexOf(heading);
  const down = heading.getAttribute("aria-sort") === "ascending";
  const value = (row) => {
    const text = row.children[column].textContent;
    return button.dataset.kind === "number" ? Number.parseFloat(text) : text;
  };
  const missing = (v) => v === "" || v === "-" || Number.isNaN(v);
  // Settings are text: as such 0.8 would come before 0.58.
  const order = (a, b) => (Number.isNaN(a - b) ? a.localeCompare(b, undefined, { numeric: true }) : a - b);
  const sorted = rowsOf().map((row) => [value(row), row]).sort(([a], [b]) => {
    if (missing(a) || missing(b)) return missing(a) - missing(b);
    return down ? order(b, a) : order(a, b);
  });
  for (const other of heading.parentNode.children) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  document.querySelector("#variants tbody").append(...sorted.map(([, row]) => row));
}

function csvText() {
  const cell = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const columns = Object.keys(study.variants[0].columns);
  const lines = rowsOf().filter((row) => !row.hidden).map((row) => {
    const one = study.variants[Number(row.dataset.variant)];
    return [...study.keys.map((key) => one.settings[key]), one.state, ...columns.map((name) => one.columns[name]), one.graph];
  });
  const header = [...study.keys, "state", ...columns, "fingerprint"];
  return [header, ...lines].map((line) => line.map(cell).join(",")).join("\n") + "\n";
}

function downloadCsv() {
  const url = URL.createObjectURL(new Blob([csvText()], { type: "text/csv" }));
  const name = study.name.replace(/[^\w.=-]+/g, "_");
  element("a", undefined, { href: url, download: `${name}.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

function bindTable() {
  const form = document.getElementById("filters");
  form.addEventListener("input", applyFilters);
  form.addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("csv").addEventListener("click", downloadCsv);
  document.getElementById("show-all").addEventListener("click", () => {
    form.reset();
    applyFilters();
  });
  for (const button of document.querySelectorAll("button.sort")) {
    button.addEventListener("click", () => sortBy(button));
  }
  for (const button of document.querySelectorAll("button.open")) {
    button.addEventListener("click", () => inspect(Number(button.closest("tr").dataset.variant), true));
  }
}
