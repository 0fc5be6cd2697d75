// A panel's card: readout, charts, and on request their numbers as tables.  charts.js stands before it in the same module.

// An element of the page with a class and words.
function make(parent, tag, name = "", text = "") {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text) element.textContent = text;
  parent.appendChild(element);
  return element;
}

function build(el) {
  el.classList.add("vmio-host");
  const root = make(el, "div", "vmio-card");
  const view = { root, words: make(root, "pre", "vmio-readout"), error: null, slots: [], high: 0, wide: 0, measuring: 0, noteHigh: 0 };
  view.note = make(root, "p", "vmio-idle");
  const tools = make(root, "div", "vmio-tools");
  view.numbers = make(tools, "button", "vmio-numbers", "Figures as tables");
  view.numbers.setAttribute("aria-expanded", "false");
  view.save = make(tools, "button", "vmio-save", "Save as CSV");
  view.tables = make(root, "div", "vmio-tables");
  view.figures = make(root, "div", "vmio-figures");
  return view;
}

// Only what differs from what is there is drawn; a slot without a chart stays empty, and the figures never get less high.
// All sizes are read before anything is drawn, or the page would be laid out anew for each chart.
function drawCharts(view, charts) {
  if (charts.length !== view.slots.length) view.figures.style.setProperty("--vmio-slots", charts.length);
  while (view.slots.length < charts.length) view.slots.push({ box: make(view.figures, "div", "vmio-slot"), key: null });
  const em = Math.max(14, parseFloat(getComputedStyle(view.figures).fontSize)), rooms = view.slots.map((slot) => Math.floor(slot.box.clientWidth));
  view.slots.forEach((slot, at) => {
    const chart = charts[at] ?? null, key = chart && `${rooms[at]} ${em} ${JSON.stringify(chart)}`;
    if (key === slot.key || rooms[at] < 40) return;
    slot.key = key;
    if (!chart) return slot.box.replaceChildren();
    if (!slot.box.firstChild) add(slot.box, "svg", { "aria-describedby": view.words.id });
    drawChart(slot.box.firstChild, chart, rooms[at], em);
  });
  cancelAnimationFrame(view.measuring);
  view.measuring = requestAnimationFrame(() => {
    view.high = Math.max(view.high, view.figures.scrollHeight);
    view.figures.style.minHeight = `${view.high}px`;
    view.root.closest(".vmio-body")?.classList.toggle("vmio-long", view.words.offsetHeight > view.high);    // the note stands below the shorter
  });
}

function drawTables(view, charts) {
  if (view.numbers.getAttribute("aria-expanded") === "false") return view.tables.replaceChildren();
  view.tables.replaceChildren(...charts.filter(Boolean).map((chart) => {
    const table = document.createElement("table");
    make(table, "caption", "", chart.title);
    tableOf(chart).forEach((cells, row) => {
      const line = make(table, "tr");
      cells.forEach((cell, at) => make(line, row === 0 || at === 0 ? "th" : "td", "", cell));
    });
    return table;
  }));
}

function update(view, shown) {
  view.words.id = shown.id;
  if (view.words.textContent !== shown.text) view.words.textContent = shown.text;
  if (view.note.textContent !== shown.notes) view.note.textContent = shown.notes;
  view.noteHigh = Math.max(view.noteHigh, view.note.scrollHeight);
  view.note.style.minHeight = `${view.noteHigh}px`;
  view.words.style.minHeight = `${(shown.lines * 1.22).toFixed(2)}em`;
  view.words.style.minWidth = `${shown.columns}ch`;
  view.root.classList.toggle("vmio-failed", Boolean(shown.error));
  if (shown.error && !view.error) {
    view.error = make(view.root, "div", "vmio-error");
    view.error.setAttribute("role", "alert");
  }
  if (shown.error) view.error.textContent = shown.error;
  else if (view.error) view.error = view.error.remove() ?? null;
  view.save.disabled = Boolean(shown.error);
  view.numbers.style.display = shown.charts.some(Boolean) ? "" : "none";
  drawCharts(view, shown.charts);
  drawTables(view, shown.charts);
}

// The kernel makes the file, for it has every number; the browser keeps it where it keeps downloads, under a name of its own if this one is taken.
function keep({ name, csv }) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv], { type: "text/csv" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

export default {
  render({ model, el }) {
    const view = build(el), redraw = () => update(view, JSON.parse(model.get("shown")));
    const watcher = new ResizeObserver(() => {
      if (view.figures.clientWidth === view.wide) return;
      [view.wide, view.high, view.noteHigh] = [view.figures.clientWidth, 0, 0];
      view.figures.style.minHeight = view.note.style.minHeight = "";
      redraw();
    });
    redraw();
    watcher.observe(view.figures);
    view.numbers.addEventListener("click", () => {
      view.numbers.setAttribute("aria-expanded", String(view.numbers.getAttribute("aria-expanded") === "false"));
      redraw();
    });
    const me = String(Math.random());   // an answer comes to every view of the card
    const answered = (message) => message.csv && message.by === me && keep(message);
    view.save.addEventListener("click", () => model.send({ want: "csv", by: me }));
    model.on("msg:custom", answered);
    model.on("change:shown", redraw);
    return () => {
      watcher.disconnect();
      cancelAnimationFrame(view.measuring);
      model.off("change:shown", redraw);
      model.off("msg:custom", answered);
    };
  },
};
