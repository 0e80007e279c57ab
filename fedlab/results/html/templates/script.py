"""The script of a page: it draws the charts, follows the choosers, and takes over what is new."""

TEXT = r"""// Draws the charts of the page from its data, follows the choosers, and on a served page takes over what is new.
let page = JSON.parse(document.getElementById("page-data").textContent);
const chosen = {}; // by chooser; rounds of the time line among them
const drawn = {}; // by chart: what is drawn, so that nothing is drawn twice
let domain = null; // of the time line's seconds, null: the whole round

const rowsOf = (columns) => {
  const names = Object.keys(columns);
  const length = names.length ? columns[names[0]].length : 0;
  return Array.from({ length }, (_, at) => Object.fromEntries(names.map((name) => [name, columns[name][at]])));
};

const roundsOf = (key) => page.charts[key] && page.charts[key].rounds;

function specOf(element) {
  const key = element.dataset.chart, chart = page.charts[key], by = element.dataset.chosenBy;
  const datasets = { ...chart.datasets };
  let spec = chart.specs[chosen[by]] || chart.specs.all || Object.values(chart.specs)[0];
  if (chart.rounds) {
    const round = chart.rounds[chosen[key]];
    if (!round) return null;
    datasets.timeline = round.bars;
    spec = chart.specs[round.spec];
  }
  spec = structuredClone(spec);
  if (chart.rounds && domain) spec.layer[0].encoding.x.scale = { domain, nice: false };
  spec.datasets = Object.fromEntries(Object.entries(datasets).map(([name, columns]) => [name, rowsOf(columns)]));
  return spec;
}

async function draw(element) {
  const spec = specOf(element), text = JSON.stringify(spec);
  if (!spec || drawn[element.dataset.chart] === text) return;
  drawn[element.dataset.chart] = text;
  element.style.minHeight = `${element.offsetHeight}px`; // so that nothing below moves meanwhile
  try {
    const canvas = document.createElement("div");
    canvas.className = "canvas";
    canvas.setAttribute("aria-hidden", "true"); // the element around it says what the chart shows
    element.replaceChildren(canvas);
    const result = await vegaEmbed(canvas, spec, { renderer: "svg", actions: false, tooltip: { theme: "custom" } });
    element.view = result.view;
  } catch (error) {
    element.textContent = `This chart could not be drawn: ${error.message}`;
    console.error(error);
  }
  element.style.minHeight = "";
}

async function drawAll(within = document) {
  for (const element of within.querySelectorAll("[data-chart]")) {
    if (page.charts[element.dataset.chart]) await draw(element);
  }
}

function sayWhy() {
  const select = document.querySelector("[data-rounds]"), place = document.getElementById("round-why");
  if (!select || !place) return;
  const round = roundsOf(select.dataset.rounds)?.[select.value];
  place.textContent = round ? round.why : "";
}

function chooseRound(select) {
  chosen[select.dataset.rounds] = select.value;
  domain = null;
  sayWhy();
  return draw(document.querySelector(`[data-chart="${select.dataset.rounds}"]`));
}

function zoom(factor, move) {
  const select = document.querySelector("[data-rounds]");
  const seconds = roundsOf(select.dataset.rounds)[select.value].seconds;
  let [from, to] = domain || [0, seconds];
  if (factor === 0) domain = null;
  else {
    const middle = (from + to) / 2, half = Math.min(((to - from) / 2) * factor, seconds / 2);
    from = Math.max(0, Math.min(seconds - 2 * half, middle - half + move * 2 * half));
    domain = 2 * half >= seconds ? null : [from, from + 2 * half];
  }
  return draw(document.querySelector(`[data-chart="${select.dataset.rounds}"]`));
}

document.addEventListener("change", (event) => {
  const chooser = event.target.closest("[data-chooser]");
  if (chooser) {
    chosen[chooser.dataset.chooser] = event.target.value;
    drawAll();
  } else if (event.target.matches("[data-rounds]")) chooseRound(event.target);
});

document.addEventListener("click", (event) => {
  const button = event.target.closest(".steps button");
  if (!button) return;
  const select = button.parentElement.querySelector("select");
  if (button.dataset.step) {
    const at = select.selectedIndex + Number(button.dataset.step);
    if (at < 0 || at >= select.options.length) return;
    select.selectedIndex = at;
    chooseRound(select);
  } else zoom(Number(button.dataset.zoom ?? 1), Number(button.dataset.move ?? 0));
});

function takeChoices() {
  for (const chooser of document.querySelectorAll("[data-chooser]")) {
    const kept = chooser.querySelector(`input[value="${chosen[chooser.dataset.chooser]}"]`);
    if (kept) kept.checked = true;
    chosen[chooser.dataset.chooser] = chooser.querySelector("input:checked").value;
  }
  for (const select of document.querySelectorAll("[data-rounds]")) {
    const kept = chosen[select.dataset.rounds];
    if (kept && [...select.options].some((option) => option.value === kept)) select.value = kept;
    chosen[select.dataset.rounds] = select.value;
  }
  sayWhy();
}

// A page that is served says where its state is; one that was written to a file does not.
const written = {}; // by section: what the server wrote, before charts were drawn into it
const remember = (within) => within.querySelectorAll("main > *").forEach((each) => (written[each.id || each.tagName] = each.innerHTML));

function takeOver(text) {
  const fresh = new DOMParser().parseFromString(text, "text/html");
  const focused = document.activeElement?.id, unfolded = [...document.querySelectorAll("details[open]")].map((each) => each.id);
  page = JSON.parse(fresh.getElementById("page-data").textContent);
  let before = null;
  for (const section of fresh.querySelectorAll("main > *")) {
    const key = section.id || section.tagName;
    const old = [...document.querySelectorAll("main > *")].find((each) => (each.id || each.tagName) === key);
    if (old && written[key] === section.innerHTML) { before = old; continue; }
    written[key] = section.innerHTML;
    for (const chart of section.querySelectorAll("[data-chart]")) {
      const height = old?.querySelector(`[data-chart="${chart.dataset.chart}"]`)?.offsetHeight;
      if (height) chart.style.minHeight = `${height}px`;
      delete drawn[chart.dataset.chart];
    }
    const added = document.importNode(section, true);
    if (old) old.replaceWith(added);
    else if (before) before.after(added);
    before = added;
  }
  for (const id of unfolded) if (id && document.getElementById(id)) document.getElementById(id).open = true;
  if (focused && document.activeElement?.id !== focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

async function follow() {
  let known = page.live.state;
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, page.live.seconds * 1000));
    const told = document.getElementById("live");
    try {
      const state = await (await fetch("state", { cache: "no-store" })).text();
      if (state === known) { told.textContent = ""; continue; }
      const answer = await fetch("body", { cache: "no-store" });
      if (!answer.ok) { told.textContent = await answer.text(); continue; }
      const top = window.scrollY;
      takeOver(await answer.text());
      takeChoices();
      await drawAll();
      window.scrollTo({ top, behavior: "instant" });
      known = page.live.state;
      told.textContent = "";
    } catch {
      told.textContent = "fedlab watch has ended: this page shows what it was told last.";
    }
  }
}

remember(document);
takeChoices();
await drawAll();
document.documentElement.dataset.ready = "true";
if (page.live) follow();
"""
