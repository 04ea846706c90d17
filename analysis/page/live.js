// Served while a sweep runs: asks for news and puts them in without losing what the reader chose.

const ASK_MS = 2000;
const GONE = "The server does not answer: what is shown is the last that it sent.";
let tag = document.documentElement.dataset.live;

function noteLive(text) {
  let note = document.getElementById("live");
  if (!note) {
    note = element("p", "", { id: "live" });
    note.setAttribute("role", "status");
    document.querySelector("header").append(note);
  }
  note.textContent = text;
}

const fieldsOf = () => [...document.querySelectorAll("#filters input, #filters select, [data-layer]")];
const fieldName = (field) => field.dataset.bound ?? field.dataset.key ?? field.dataset.layer;

// A choice is kept by its words: news may have more variants, in another order.
function choices() {
  const text = (field) => (field.tagName === "SELECT" ? field.selectedOptions[0].textContent : field.value);
  const focused = document.activeElement;
  return {
    fields: new Map(fieldsOf().map((f) => [fieldName(f), f.type === "checkbox" ? f.checked : text(f)])),
    variant: chosenVariant === null ? null : study.variants[chosenVariant].label,
    focus: focused && focused.closest("#filters, .layers") ? fieldName(focused) : null,
    sorted: document.querySelector("#variants th[aria-sort]")?.textContent,
    down: document.querySelector("#variants th[aria-sort=descending]") !== null,
    place: scrollY,
  };
}

function choose({ fields, variant, focus, sorted, down, place }) {
  for (const field of fieldsOf()) {
    const value = fields.get(fieldName(field));
    if (value === undefined) continue;
    if (field.type === "checkbox") {
      if (field.checked !== value) field.click();
    } else if (field.tagName === "SELECT") field.selectedIndex = Math.max(0, [...field.options].findIndex((o) => o.textContent === value));
    else field.value = value;
    if (focus !== null && fieldName(field) === focus) field.focus({ preventScroll: true });
  }
  const heading = [...document.querySelectorAll("#variants th")].find((th) => th.textContent === sorted);
  for (let n = 0; heading && n < (down ? 2 : 1); n++) sortBy(heading.querySelector("button"));
  applyFilters();
  const again = study.variants.findIndex((one) => one.label === variant);
  if (again >= 0) inspect(again, false);
  scrollTo({ top: place, behavior: "instant" });
}

async function take(text) {
  const news = new DOMParser().parseFromString(text, "text/html");
  const kept = choices();
  for (const part of ["header", "main", "#figures", "#study"]) {
    document.querySelector(part).replaceWith(document.adoptNode(news.querySelector(part)));
  }
  await start();
  choose(kept);
}

async function sent() {
  const answer = await fetch(location.pathname, { headers: { "If-None-Match": tag }, cache: "no-store" });
  return { status: answer.status, news: answer.headers.get("ETag"), text: await answer.text() };
}

// Takes what is new; returns in words how that went. What could not be shown is asked for again.
async function follow() {
  const answer = await sent().catch(() => null);
  if (answer === null) return GONE;
  const { status, news, text } = answer;
  if (status === 200) {
    await take(text);
    tag = news;
  }
  return status === 200 || status === 304 ? `Live: follows the sweep, every ${ASK_MS / 1000} s.` : text;
}

async function ask() {
  noteLive(await follow().catch((error) => `What the server sent could not be shown (${error}).`));
  setTimeout(ask, ASK_MS);
}
